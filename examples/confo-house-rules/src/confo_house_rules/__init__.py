"""Two plugins that work with every backend: a policy and an audit log."""
