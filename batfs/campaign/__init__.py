"""Many runs: local processes or a cluster; resume; statistics."""
