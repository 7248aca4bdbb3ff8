//! jemalloc: decoding makes and drops blocks of all sizes on many threads, and jemalloc keeps the memory of that nearest to
//! what is in use (`benches/runs/2026-11-22-allocators.md`).

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc reads when the process starts: columns under construction stand on huge pages.
// The symbol is jemalloc's own, a pointer to text that ends with a zero byte.
#[allow(unsafe_code)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 11] = b"thp:always\0";
