"""The geometry of sound in this package, each number derived from those before it."""

SAMPLE_RATE = 16_000  # samples per second
WINDOW_S = 30.0  # what Whisper pads to
WINDOW_SAMPLES = int(WINDOW_S * SAMPLE_RATE)  # 480,000
N_FFT = 400  # samples per analysis frame, 25 ms
HOP_LENGTH = 160  # samples between frames, 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_LENGTH  # 100 log-mel frames
WINDOW_FRAMES = WINDOW_SAMPLES // HOP_LENGTH  # 3,000
POSITIONS_PER_SECOND = FRAMES_PER_SECOND // 2  # 50: the encoder's second convolution has stride 2
TIMESTAMP_STEP_S = 1 / POSITIONS_PER_SECOND  # 0.02
MAX_HOLE_S = 60.0  # of silence that is put into one hole of a container's clock
CANCELLED = 0.05  # of the loudest channel's energy (-13 dB): a mix with less is of channels that cancel
