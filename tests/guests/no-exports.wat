;; A component that exports nothing a provider must export.
(component
  (core module
    (@custom "anyport:manifest" "id = \"no-exports\"\ntitle = \"no exports\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nclass = \"best-effort\"\nresume = \"snapshot\"\nimports = []\n")))
