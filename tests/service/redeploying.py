"""As `voxray.serving.ray.launch`; each line of stdin deploys again, with the model that it names."""

import sys

from voxray.serving.ray.launch import APP, read, started


def main(words: list[str]) -> None:
    """Serve until stdin ends."""
    address, args = read(words)
    with started(address, args):
        from ray import serve

        from voxray.serving.ray.app import build

        print("Voxray serves", flush=True)
        for line in sys.stdin:
            serve.run(build(args.model_copy(update={"model": line.strip()})), name=APP, route_prefix="/")
            print("Voxray serves again", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
