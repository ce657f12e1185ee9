"""`params.yaml` and survey presets in, a checked, frozen `Config` out. No map or mask is looked at."""
