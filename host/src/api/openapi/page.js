// Everything that would ask another host is switched off; the page's policy forbids it as well.
Scalar.createApiReference('#app', {
  url: '/openapi.json',
  proxyUrl: '',
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  documentDownloadType: 'json',
  showDeveloperTools: 'never',
  agent: { disabled: true },
  mcp: { disabled: true },
});
