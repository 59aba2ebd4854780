//! Bytes to JSON-RPC frames and back, without IO.
