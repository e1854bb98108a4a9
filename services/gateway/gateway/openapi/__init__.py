"""The API's description (OpenAPI 3.1) and its reference page, from the same routes the transcoder serves."""
