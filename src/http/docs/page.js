// Nothing is asked of anybody but this service: no validator, and no URL of another document from the query.
SwaggerUIBundle({
  url: "openapi.yaml",
  dom_id: "#reader",
  validatorUrl: null,
  queryConfigEnabled: false,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
});
