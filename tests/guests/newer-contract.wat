;; Speaks a contract that this host does not.
(component
  (core module
    (@custom "anyport:manifest" "id = \"newer-contract\"\ntitle = \"newer contract\"\nversion = \"0.1.0\"\ncontract = \"0.2.0\"\nclass = \"best-effort\"\nresume = \"snapshot\"\nimports = [\"kv\"]\n"))
  (import "anyport:provider/kv@0.2.0" (instance
    (export "get" (func (param "key" string) (result (option (list u8))))))))
