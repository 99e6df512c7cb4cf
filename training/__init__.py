"""The offline module: from footage and labels to model bundles, and the judges of results. Nobody imports it."""
