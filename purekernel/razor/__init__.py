"""Follow the Razor scripts' conventions: projects, bundles, overlays, metadata."""
