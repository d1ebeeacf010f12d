CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    ended_at REAL NOT NULL,
    model TEXT NOT NULL,
    device TEXT NOT NULL,
    warm INTEGER NOT NULL,
    request TEXT NOT NULL,
    plan TEXT NOT NULL,
    modelled_seconds REAL NOT NULL,
    estimated_seconds REAL NOT NULL,
    observed_seconds REAL NOT NULL,
    stages TEXT NOT NULL
);
CREATE INDEX runs_by_device ON runs (model, device, warm, id);
CREATE TABLE rates (
    model TEXT NOT NULL,
    device TEXT NOT NULL,
    measured_at REAL NOT NULL,
    rate TEXT NOT NULL,
    PRIMARY KEY (model, device)
);
INSERT INTO runs VALUES (
    1, 1793000000.25, 't2v-pocket', 'cpu Intel(R) Xeon(R) x2 fp32 none', 0,
    '{"deployment": "pocket", "prompt": "a red circle moving right", "width": 64, "height": 64, "frames": 9, "steps": 4, "guidance": 4.0, "seed": 1, "negative_prompt": "", "image": null, "output": null}',
    '{"device": "cpu", "gpu_uuid": null, "precision": "fp32", "vae_precision": "fp32", "offload": "none", "vae_tiling": false}',
    0.08, 0.08, 0.2,
    '[{"stage": "text_encode", "seconds": 0.02}, {"stage": "denoise_high_noise", "seconds": 0.03}, {"stage": "vae_decode", "seconds": 0.12}]'
);
INSERT INTO runs VALUES (
    2, 1793000010.5, 't2v-pocket', 'cpu Intel(R) Xeon(R) x2 fp32 none', 1,
    '{"deployment": "pocket", "prompt": "a red circle moving right", "width": 64, "height": 64, "frames": 9, "steps": 4, "guidance": 4.0, "seed": 2, "negative_prompt": "", "image": null, "output": null}',
    '{"device": "cpu", "retired_option": true}',
    0.08, 0.2, 0.19,
    '[{"stage": "text_encode", "seconds": 0.02}, {"stage": "vae_decode", "seconds": 0.12}]'
);
INSERT INTO rates VALUES (
    't2v-pocket', 'cpu Intel(R) Xeon(R) x2 fp32 none', 1793000000.0,
    '{"text_encode_seconds": 0.01, "forward_floor_seconds": 0.002, "forward_flop_per_second": 48000000000.0, "decode_floor_seconds": 0.005, "decode_pixels_per_second": 200000.0}'
);
PRAGMA user_version = 1;
