"""Made-up requests to the whole API, by its OpenAPI document, as each role."""
