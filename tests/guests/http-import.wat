;; Imports `http`, which its manifest does not ask for and nobody granted.
(component
  (core module
    (@custom "anyport:manifest" "id = \"http-import\"\ntitle = \"http import\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\nclass = \"best-effort\"\nresume = \"snapshot\"\nimports = []\n"))
  (import "anyport:provider/http@0.1.0" (instance
    (export "cancel" (func (param "name" string))))))
