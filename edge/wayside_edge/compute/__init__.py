"""TFLite models and WASM modules, each in a process of its own."""
