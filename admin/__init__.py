"""The authoring API and the statistics; one folder a resource."""
