//! `ObjectPool<T>` and `Lease<T>`.

use crate::recycle::{Recycle, Verdict};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// A bounded pool of reusable objects. Cloning makes another handle to the same pool.
pub struct ObjectPool<T: Send + 'static> {
    core: Arc<Core<T>>,
}

struct Core<T> {
    recycle: Box<dyn Recycle<T>>,
    idle: Mutex<Vec<T>>,
    capacity: usize,
}

impl<T: Send + 'static> Clone for ObjectPool<T> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

impl<T: Send + 'static> ObjectPool<T> {
    /// A pool that keeps at most `capacity` idle objects.
    pub fn new(_name: &'static str, capacity: usize, recycle: impl Recycle<T>) -> Self {
        Self {
            core: Arc::new(Core { recycle: Box::new(recycle), idle: Mutex::new(Vec::new()), capacity }),
        }
    }

    /// Leases an object: an idle one, or a new one when none is idle.
    #[must_use]
    pub fn acquire(&self) -> Lease<T> {
        let idle = self.core.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lease {
            object: Some(idle.unwrap_or_else(|| self.core.recycle.create())),
            core: Arc::clone(&self.core),
        }
    }
}

/// An object on loan from an [`ObjectPool`]; returns on drop.
#[must_use = "a lease returns its object as soon as it is dropped"]
pub struct Lease<T: Send + 'static> {
    object: Option<T>,
    core: Arc<Core<T>>,
}

impl<T: Send + 'static> Lease<T> {
    /// Takes the object out of the pool for good.
    #[must_use]
    pub fn detach(mut self) -> T {
        // invariant: `object` is taken here and in `drop` only.
        self.object.take().expect("a live lease holds its object")
    }
}

impl<T: Send + 'static> Deref for Lease<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // invariant: `object` is taken in `detach` and `drop` only.
        self.object.as_ref().expect("a live lease holds its object")
    }
}

impl<T: Send + 'static> DerefMut for Lease<T> {
    fn deref_mut(&mut self) -> &mut T {
        // invariant: `object` is taken in `detach` and `drop` only.
        self.object.as_mut().expect("a live lease holds its object")
    }
}

impl<T: Send + 'static> Drop for Lease<T> {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        if self.core.recycle.recycle(&mut object) == Verdict::Keep {
            let mut idle = self.core.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < self.core.capacity {
                idle.push(object);
            }
        }
    }
}
