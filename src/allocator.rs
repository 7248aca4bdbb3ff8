//! Sets jemalloc as the allocator. Decoding allocates and frees blocks of all sizes on many threads, and jemalloc keeps
//! memory closest to the amount in use (`benches/runs/2026-11-22-allocators.md`).

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The options that jemalloc reads at process start: columns under construction use huge pages.
// The symbol belongs to jemalloc: a pointer to text that ends with a zero byte.
#[allow(unsafe_code)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 11] = b"thp:always\0";
