//! mcpool: a Model Context Protocol server whose memory is bounded, measured and tunable.

pub mod wire;
