//! The resources that this process has used so far, as Linux counts them; zeros elsewhere.

use std::time::{Duration, Instant};

/// Linux counts processor time in hundredths of a second, whatever the machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// A stretch of work being measured.
pub struct Measure {
    wall: Instant,
    processor: Duration,
}

/// The resources that it used.
pub struct Taken {
    /// Wall time.
    pub wall: Duration,
    /// Processor time of all threads, in user mode and in the system.
    pub processor: Duration,
}

impl Measure {
    pub fn begin() -> Measure {
        Measure { wall: Instant::now(), processor: processor_time() }
    }

    pub fn end(&self) -> Taken {
        Taken { wall: self.wall.elapsed(), processor: processor_time().saturating_sub(self.processor) }
    }
}

impl Taken {
    /// Describes `bytes` in this time, as `1.23 s wall, 1.20 s processor: 456 MB/s by the wall, 467 by the processor`.
    pub fn describe(&self, bytes: u64) -> String {
        let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9);
        format!(
            "{:.2} s wall, {:.2} s processor: {:.0} MB/s by the wall, {:.0} by the processor",
            self.wall.as_secs_f64(),
            self.processor.as_secs_f64(),
            rate(self.wall),
            rate(self.processor),
        )
    }
}

/// Lets the peak of memory begin again at what is in use now.
pub fn forget_peak() {
    // Without the right to do so the peak stays that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the peak memory of this process, in bytes.
pub fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// The processor time of this thread so far, in nanoseconds.
pub fn thread_ns() -> u64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    statistics.split_whitespace().next().and_then(|running| running.parse().ok()).unwrap_or_default()
}

fn processor_time() -> Duration {
    processor_time_of(std::process::id())
}

/// The processor time of a process so far, of all its threads, in user mode and in the system.
pub fn processor_time_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The command's name is in parentheses and may contain anything; user and system time are always fields 14 and 15.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}
