"""Everything that needs torch: loading, registration, the runs. The API never imports it."""
