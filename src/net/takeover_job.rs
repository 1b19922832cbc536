// SPDX-License-Identifier: GPL-2.0

//! An exchange of drivers that a worker does, because its caller must not wait for RTNL.
//!
//! The caller may hold `klp_mutex`, for which a holder of RTNL may wait. A worker of `system_long_wq` holds nothing, so
//! it can wait for RTNL in the queue with all others, and the caller waits for the worker for a limited time.

use super::rtnl::{Rtnl, RtnlGuard};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc, //
    },
    time::{delay::fsleep, Delta, Instant, Monotonic},
    workqueue, //
};

/// How often a caller looks whether its job is over.
const LOOK: Delta = Delta::from_micros(100);

/// The pause before a lock is tried again, and between two batches. Others can take RTNL in the pause, and a task that
/// has slept is less likely to be preempted while it holds RTNL.
pub(super) const PAUSE: Delta = Delta::from_millis(1);

/// A flag that several contexts set.
pub(super) struct Flag(Atomic<u32>);

impl Flag {
    pub(super) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Sets the flag, and returns whether its value has changed. Fully ordered: a later holder of RTNL sees the new
    /// value.
    pub(super) fn set(&self, value: bool) -> bool {
        self.0.xchg(value.into(), Full) != u32::from(value)
    }
}

/// The result of a walk.
pub(super) struct Walk {
    /// How many devices have changed their driver.
    pub(super) exchanged: Atomic<u32>,
    /// The longest time for which RTNL was held for a batch, in microseconds.
    pub(super) held: Atomic<i64>,
}

impl Walk {
    pub(super) const fn new() -> Self {
        Self {
            exchanged: Atomic::new(0),
            held: Atomic::new(0),
        }
    }
}

/// What a job does.
pub(super) trait Task: Sized + 'static {
    /// The jobs that do it.
    fn jobs() -> &'static Jobs;

    /// Gives all devices to the wanted driver. `lock` takes RTNL, or returns `None` if nobody waits any more. Returns
    /// whether all devices have it: RTNL, or the instance lock of a device, may be busy.
    fn walk(lock: impl Fn() -> Option<RtnlGuard>, total: &Walk) -> bool;
}

/// The jobs that are not over.
///
/// # Invariants
///
/// `running` is at least the number of jobs whose worker is not past its last access to the module's data.
pub(super) struct Jobs {
    running: Atomic<u32>,
    closed: Flag,
}

impl Jobs {
    pub(super) const fn new() -> Self {
        Self {
            running: Atomic::new(0),
            closed: Flag::new(),
        }
    }

    /// Counts a job that is to begin. Returns false after [`Self::close`]: then it must not begin.
    pub(super) fn begin(&self) -> bool {
        self.running.fetch_add(1, Full);
        let open = !self.closed.is_set();
        if !open {
            self.end();
        }
        open
    }

    fn end(&self) {
        self.running.fetch_sub(1, Full);
    }

    /// From now on no job begins. Waits for those that have begun.
    pub(super) fn close(&self) {
        // Who counts a job from now on sees the flag, and takes it away again.
        self.closed.set(true);
        while self.running.load(Relaxed) != 0 {
            fsleep(PAUSE);
        }
    }
}

/// One exchange.
#[pin_data]
pub(super) struct Job<T: Task> {
    #[pin]
    work: workqueue::Work<Self>,
    state: Atomic<u32>,
    pub(super) total: Walk,
    _driver: PhantomData<fn() -> T>,
}

impl<T: Task> Job<T> {
    const RUNNING: u32 = 0;
    /// All devices have the wanted driver.
    const COMPLETE: u32 = 1;
    /// Nobody waits any more.
    const ABANDONED: u32 = 2;

    /// Gives a job to a worker. [`Jobs::begin`] has counted it, and it is counted no more when it is over. `ENOMEM`.
    pub(super) fn start() -> Result<Arc<Self>> {
        let jobs = T::jobs();
        let init = pin_init!(Self {
            work <- kernel::new_work!("netkit_rs::Job::work"),
            state: Atomic::new(Self::RUNNING),
            total: Walk::new(),
            _driver: PhantomData,
        });
        let job = Arc::pin_init(init, GFP_KERNEL).inspect_err(|_| jobs.end())?;
        if workqueue::system_long().enqueue(job.clone()).is_err() {
            // Cannot happen: the work is new.
            jobs.end();
        }
        Ok(job)
    }

    /// Waits until the job is over, for `patience` at most. Returns whether all devices have the wanted driver. If not,
    /// the job ends when it has RTNL the next time.
    pub(super) fn wait(&self, patience: Delta) -> bool {
        let begun = Instant::<Monotonic>::now();
        while self.is_running() && begun.elapsed() < patience {
            fsleep(LOOK);
        }
        self.state.xchg(Self::ABANDONED, Full) == Self::COMPLETE
    }

    fn is_running(&self) -> bool {
        self.state.load(Relaxed) == Self::RUNNING
    }

    fn lock(&self) -> Option<RtnlGuard> {
        let rtnl = Rtnl::lock();
        self.is_running().then_some(rtnl)
    }
}

kernel::impl_has_work! {
    impl{T: Task} HasWork<Self> for Job<T> { self.work }
}

impl<T: Task> workqueue::WorkItem for Job<T> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        while this.is_running() {
            if T::walk(|| this.lock(), &this.total) {
                let _abandoned = this.state.cmpxchg(Self::RUNNING, Self::COMPLETE, Full);
            } else {
                // An instance lock was busy.
                fsleep(PAUSE);
            }
        }
        drop(this);
        // The last step: `Takeover::finish()` may go on.
        T::jobs().end();
    }
}
