//! The memory tests: each claim a module of its own, named by what it claims, and a process of its own.
//!
//! `cargo test -p mcpool-memtests --test claims` runs all of them, one after the other, and with `idle` behind it those with
//! `idle` in their names.

use mcpool_memtests::alone;

/// What sees each block.
#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

mod a_leak_is_found;
mod a_worse_cell_is_found;
mod an_allocation_is_found;
mod attribute_tools_allocate_nothing;
mod connections_leave_nothing;
mod dynamic_calls_allocate_one_block;
mod escapes_of_large_calls_allocate_nothing;
mod graph_reads_allocate_nothing;
mod idle_connection_is_small;
mod matrix;
mod network_bodies_at_once_are_bounded;
mod network_connections_leave_nothing;
mod network_idle_connection_is_small;
mod network_large_messages_take_their_own_bytes;
mod network_load_generator_allocates_nothing;
mod network_logged_requests_allocate_nothing;
mod network_recorded_requests_allocate_nothing;
mod network_requests_allocate_nothing;
mod network_stalled_reader_is_bounded;
mod pending_request_is_small;
mod pool_hit_allocates_nothing;
mod pool_miss_allocates_two_blocks;
mod recording_allocates_nothing;
mod resizing_leaves_nothing;
mod searches_are_bounded;
mod too_many_bytes_each_are_found;
mod toolset_calls_allocate_nothing;
mod toolsets_are_small;
mod unused_pools_are_small;
mod your_own_server;

/// A test for each module, of the same name: the function of that name, in a process of its own.
macro_rules! claims {
    ($($claim:ident)*) => {$(
        #[test]
        fn $claim() {
            alone(stringify!($claim), $claim::$claim);
        }
    )*};
}

claims! {
    a_leak_is_found
    a_worse_cell_is_found
    an_allocation_is_found
    attribute_tools_allocate_nothing
    connections_leave_nothing
    dynamic_calls_allocate_one_block
    escapes_of_large_calls_allocate_nothing
    graph_reads_allocate_nothing
    idle_connection_is_small
    matrix
    network_bodies_at_once_are_bounded
    network_connections_leave_nothing
    network_idle_connection_is_small
    network_large_messages_take_their_own_bytes
    network_load_generator_allocates_nothing
    network_logged_requests_allocate_nothing
    network_recorded_requests_allocate_nothing
    network_requests_allocate_nothing
    network_stalled_reader_is_bounded
    pending_request_is_small
    pool_hit_allocates_nothing
    pool_miss_allocates_two_blocks
    recording_allocates_nothing
    resizing_leaves_nothing
    searches_are_bounded
    too_many_bytes_each_are_found
    toolset_calls_allocate_nothing
    toolsets_are_small
    unused_pools_are_small
    your_own_server
}
