;; A component without a manifest.
(component)
