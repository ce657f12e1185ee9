"""Names of published files in, paths of verified copies out: manifest, mirrors, resumed downloads."""
