"""The manifests for KubeRay: its fields, valid pods, and what Ray's own autoscaler makes of them."""

import copy
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.scripts.scripts import start

from voxray.config import parse
from voxray.recipes.finetune import FinetuneConfig
from voxray.serving.ray.launch import HAPROXY
from voxray.serving.settings import ServiceArgs

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Ray declares its own schema in pydantic's old way
    from ray.serve.schema import ServeDeploySchema

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = sorted((ROOT / "serve" / "kubernetes").glob("*.yaml"))
SCHEMA = yaml.safe_load((ROOT / "tests" / "kuberay.schema.yaml").read_text())
KUBERNETES = "1.37"
CLUSTER = {"RayCluster": "", "RayService": "rayClusterConfig", "RayJob": "rayClusterSpec"}
"""Where each kind has the specification of its cluster."""

Values = dict[str, Any]


@pytest.fixture(params=MANIFESTS, ids=lambda file: file.stem)
def manifest(request: pytest.FixtureRequest) -> Values:
    """One of the manifests."""
    return read(request.param)


def read(file: Path) -> Values:
    values: Values = yaml.safe_load(file.read_text())
    return values


def cluster_of(manifest: Values) -> Values:
    spec: Values = manifest["spec"]
    cluster: Values = spec.get(CLUSTER[manifest["kind"]], spec)
    return cluster


def groups_of(manifest: Values) -> list[Values]:
    cluster = cluster_of(manifest)
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def containers_of(manifest: Values) -> Iterator[Values]:
    for group in groups_of(manifest):
        yield from group["template"]["spec"]["containers"]


def test_there_is_a_manifest_of_each_kind() -> None:
    assert {read(file)["kind"] for file in MANIFESTS} == set(CLUSTER)


def test_a_manifest_has_only_fields_of_kuberay(manifest: Values) -> None:
    jsonschema.validate(manifest, SCHEMA)


def test_the_schema_refuses_a_field_that_kuberay_does_not_have(manifest: Values) -> None:
    wrong = copy.deepcopy(manifest)
    cluster_of(wrong)["workerGroupSpecs"][0]["minReplica"] = 1

    with pytest.raises(jsonschema.ValidationError, match="'minReplica' was unexpected"):
        jsonschema.validate(wrong, SCHEMA)


def test_its_pods_are_valid_for_kubernetes(manifest: Values) -> None:
    for group in groups_of(manifest):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, **group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_rays_autoscaler_reads_it(manifest: Values) -> None:
    resource = {"metadata": {"name": "voxray", "namespace": "default"}, "spec": cluster_of(manifest)}
    config = _derive_autoscaling_config_from_ray_cr(resource)
    types = config["available_node_types"]

    assert types["headgroup"]["resources"]["CPU"] == 0  # work never starves the cluster's own services
    assert types["gpu"]["min_workers"] == 0 < types["gpu"]["max_workers"]
    assert types["gpu"]["resources"]["GPU"] == 1


def test_ray_start_knows_what_it_is_started_with(manifest: Values) -> None:
    options = {option.removeprefix("--") for param in start.params for option in param.opts}

    assert all(set(group["rayStartParams"]) <= options for group in groups_of(manifest))


def test_its_ray_is_the_one_that_is_tested_and_asks_for_a_token(manifest: Values) -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()

    assert f"ray=={cluster_of(manifest)['rayVersion']}" in pins
    assert cluster_of(manifest)["authOptions"] == {"mode": "token"}


def test_every_volume_that_is_mounted_is_there(manifest: Values) -> None:
    for group in groups_of(manifest):
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_its_containers_are_unprivileged_and_bounded(manifest: Values) -> None:
    for container in containers_of(manifest):
        assert container["securityContext"]["runAsNonRoot"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["resources"]["limits"] == container["resources"]["requests"]


def test_the_service_has_the_proxy_that_make_serve_has() -> None:
    for container in containers_of(read(ROOT / "serve" / "kubernetes" / "rayservice.yaml")):
        environment = {variable["name"]: variable["value"] for variable in container["env"]}
        assert HAPROXY.items() <= environment.items()
        assert 8000 in {port["containerPort"] for port in container["ports"]}


def test_the_service_is_the_one_of_production() -> None:
    """As in serve/config.yaml, but for the name that clients in the cluster use, and where its keys are."""
    ours = yaml.safe_load(read(ROOT / "serve" / "kubernetes" / "rayservice.yaml")["spec"]["serveConfigV2"])
    production = read(ROOT / "serve" / "config.yaml")
    args, expected = (parse(ServiceArgs, v["applications"][0]["args"]) for v in (ours, production))
    places = {name: getattr(expected.access, name) for name in ("allowed_hosts", "keys_file")}
    access = args.access.model_copy(update=places)

    assert ServeDeploySchema.model_validate(ours) == ServeDeploySchema.model_validate(
        {**production, "applications": ours["applications"]}
    )
    assert args.model_copy(update={"access": access}) == expected


def test_the_job_is_one_that_there_is() -> None:
    words = shlex.split(read(ROOT / "serve" / "kubernetes" / "rayjob.yaml")["spec"]["entrypoint"])
    python, job, flag, config, *overrides = words

    assert (python, flag) == ("python", "--config")
    for file in (job, config):
        assert (ROOT / file.removeprefix("/opt/voxray/")).is_file()
    values = read(ROOT / config.removeprefix("/opt/voxray/"))
    assert (
        parse(FinetuneConfig, values | dict(word.split("=", 1) for word in overrides)).corpus == "/data/clips"
    )


def test_all_nodes_have_the_image_that_is_built() -> None:
    """Ray refuses a node with another Python, and the two images have different ones."""
    from voxray import __version__

    images = {c["image"] for file in MANIFESTS for c in containers_of(read(file))}
    commands = (ROOT / "serve" / "kubernetes" / "rayservice.yaml").read_text()

    assert images == {f"voxray:{__version__}"}
    assert f"docker build -f Dockerfile.gpu -t REGISTRY/voxray:{__version__} ." in commands
