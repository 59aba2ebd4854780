//! Wakes an event queue at a moment, to about 50 us.

#[cfg(target_os = "linux")]
pub(super) use of_kernel::Timer;
#[cfg(not(target_os = "linux"))]
pub(super) use of_queue::Timer;

/// Linux: waits of the queue count whole milliseconds, so the kernel has a timer that makes it ready.
#[cfg(target_os = "linux")]
mod of_kernel {
    use mio::{Interest, Registry, Token, unix::SourceFd};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    /// A timer that makes an event queue ready.
    pub(in crate::load) struct Timer {
        descriptor: OwnedFd,
    }

    impl Timer {
        pub(in crate::load) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&descriptor.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self { descriptor })
        }

        /// Wakes the queue after `wait`, once; returns how long the queue itself may wait. Setting it again takes the
        /// place of what was set before.
        pub(in crate::load) fn set(&self, wait: Duration) -> io::Result<Duration> {
            let wait = wait.max(Duration::from_nanos(1)); // 0 would switch it off
            let value =
                Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: i64::from(wait.subsec_nanos()) };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
            Ok(Duration::MAX)
        }
    }
}

/// Elsewhere: the queue (`kqueue`) counts its waits in nanoseconds itself.
#[cfg(not(target_os = "linux"))]
mod of_queue {
    use mio::{Registry, Token};
    use std::io;
    use std::time::Duration;

    /// A timer that the queue is.
    pub(in crate::load) struct Timer;

    #[expect(clippy::unnecessary_wraps, reason = "that of Linux may fail")]
    #[expect(clippy::unused_self, reason = "that of Linux is a descriptor")]
    impl Timer {
        pub(in crate::load) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        /// How long the queue may wait: `wait`.
        pub(in crate::load) fn set(&self, wait: Duration) -> io::Result<Duration> {
            Ok(wait)
        }
    }
}
