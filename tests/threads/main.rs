//! Calls that run with few threads, with none to be had, or where threads cannot be waited for.
//!
//! Most tests run in a process of their own, because rayon's global pool starts once in a process.
//! Such a test starts this program again, with the name of a [role](ROLES).

#[cfg(unix)]
mod fork;

use ivf::cpu::{RayonGlobal, RayonPool};
use ivf::executor::Inline;
use ivf::prelude::*;
use ivf::{AddOptions, Executor, TrainOptions};
use ivf_testkit::data;
use rayon::prelude::*;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

const DIM: usize = 8;

const SPECS: [&str; 4] = ["Flat", "IVF64,Flat", "IVF16,PQ4", "IDMap,L2norm,IVF16(IVF4,Flat),Flat,RFlat"];

/// Environment variable that names the role of a process.
const ROLE: &str = "IVF_TEST_ROLE";

/// Time after which a process counts as hanging.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// What a process does in a role.
const ROLES: &[(&str, fn())] = &[
    ("small calls", small_calls_start_no_pool),
    ("one thread", || equal_to_inline(1)),
    ("many threads", || equal_to_inline(100)),
    ("in tasks under a lock", in_tasks_under_a_lock),
    #[cfg(unix)]
    ("after a fork", after_a_fork),
    #[cfg(target_os = "linux")]
    ("no thread to be had", no_thread_to_be_had),
];

/// Runs the role that the environment names. Without one there is nothing to do.
#[test]
fn role() {
    if let Ok(name) = std::env::var(ROLE) {
        ROLES.iter().find(|(role, _)| *role == name).expect("a known role").1();
    }
}

/// Starts this program in a role, and asserts that it passes in time.
fn start(role: &str, change: impl FnOnce(&mut Command)) {
    let program = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    command.args(["--exact", "role", "--test-threads=1", "--nocapture"]).env(ROLE, role);
    change(&mut command);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = waiting.recv_timeout(TIME_LIMIT).unwrap_or_else(|_| panic!("{role}: no end in sight"));
    let output = output.expect("a process that can be waited for");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{role}: {}\n{text}", output.status);
}

/// Trains, fills, searches and edits an index of `n` vectors. Returns all results.
fn work(spec: &str, n: usize, executor: Option<&dyn Executor>) -> Vec<SearchResult> {
    let vectors = data::clusters(1, n, DIM, 20);
    let rows = vectors.rows();
    let mut train = TrainOptions::new();
    let mut add = AddOptions::new();
    let mut params = SearchParams::new();
    (train.executor, add.executor, params.executor) = (executor, executor, executor);
    let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
    index.train_with(rows, &train).expect("enough vectors");
    let ids: Vec<Id> = (0..n as i64).map(Id).collect();
    match index.as_add() {
        Some(_) => index.add_with(rows, &add).map(drop),
        None => index.add_with_ids_with(rows, &ids, &add).map(drop),
    }
    .expect("finite vectors");
    if index.find_ivf().is_some() {
        params = params.nprobe(8);
    }
    let mut found = vec![index.search(rows.slice(0..n / 20), 5, &params).expect("finite queries")];
    found.push(index.search(rows.slice(0..1), 5, &params).expect("finite queries"));
    if index.as_range_search().is_some() {
        found.push(index.range_search_with(rows.slice(0..n / 20), 1.0, &params).expect("finite queries"));
    }
    index.remove(&IdSelector::range(0..n as i64 / 2)).expect("lists in memory");
    found.push(index.search(rows.slice(0..n / 20), 5, &params).expect("finite queries"));
    found
}

/// Asserts that the results of an executor are those of one thread.
fn same_as_inline(executor: Option<&dyn Executor>, n: usize) {
    for spec in SPECS {
        let expected = work(spec, n, Some(&Inline));
        let found = work(spec, n, executor);
        assert_eq!(found.len(), expected.len(), "{spec}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.hits, expected.hits, "{spec}");
        }
    }
}

/// Number of vectors of indexes whose loops are large enough for a pool.
const MANY: usize = 20_000;

/// Number of vectors of indexes whose loops are small.
const FEW: usize = 260;

fn equal_to_inline(threads: usize) {
    assert_eq!(RayonGlobal.threads(), threads);
    same_as_inline(None, MANY);
}

#[test]
fn one_thread_and_a_hundred_give_the_same() {
    start("one thread", |command| {
        command.env("RAYON_NUM_THREADS", "1");
    });
    start("many threads", |command| {
        command.env("RAYON_NUM_THREADS", "100");
    });
}

fn small_calls_start_no_pool() {
    for spec in SPECS {
        work(spec, FEW, None);
    }
    // Only the first start of the global pool succeeds.
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().expect("a pool that nobody has started");
    assert_eq!(RayonGlobal.threads(), 2);
}

#[test]
fn small_calls_by_default_start_no_thread() {
    start("small calls", |_| ());
}

/// Many tasks of rayon's global pool, and of another pool, want the lock around one index. A thread
/// that waits inside of a search must not take up another of these tasks.
fn in_tasks_under_a_lock() {
    let vectors = data::clusters(1, MANY, DIM, 20);
    let rows = vectors.rows();
    let mut index = ivf::build("IVF16,Flat", DIM, Metric::L2).expect("a good string");
    index.train(rows).expect("enough vectors");
    index.add(rows).expect("finite vectors");
    let index = Mutex::new(index);
    let private = RayonPool::new(3).expect("threads");
    let other = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("threads");
    let tasks = |executor: Option<&dyn Executor>| {
        (0..1000).into_par_iter().for_each(|task| {
            let mut params = SearchParams::new();
            params.executor = executor;
            // Some tasks have work of their own, so that a thread is free to help with a search.
            if task % 3 > 0 {
                let work = (0..20_000 * (task % 7)).fold(task, |sum, i| std::hint::black_box(sum ^ i));
                assert_ne!(work, usize::MAX);
                return;
            }
            let mut index = index.lock().expect("no task panics");
            if task % 300 == 0 {
                let mut add = AddOptions::new();
                add.executor = executor;
                index.add_with(rows, &add).expect("finite vectors");
            }
            index.search(rows.slice(0..100), 5, &params).expect("finite queries");
        });
    };
    for executor in [None, Some(&private as &dyn Executor)] {
        tasks(executor);
        other.install(|| tasks(executor));
    }
}

#[test]
fn a_lock_held_in_pool_tasks_does_not_hang() {
    start("in tasks under a lock", |command| {
        command.env("RAYON_NUM_THREADS", "4");
    });
}

#[test]
fn inside_of_a_pool_a_loop_stays_on_its_thread() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("threads");
    let own = RayonPool::from(rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("threads"));
    let threads_of = |executor: &dyn Executor| {
        let seen = Mutex::new(std::collections::HashSet::new());
        executor.for_each(1000, &|_| {
            seen.lock().expect("no task panics").insert(std::thread::current().id());
        });
        (executor.threads(), seen.into_inner().expect("no task panics"))
    };
    pool.install(|| {
        let me = std::collections::HashSet::from([std::thread::current().id()]);
        assert_eq!(threads_of(&RayonGlobal), (1, me.clone()));
        let (threads, seen) = threads_of(&own);
        assert!(threads == 4 && seen.is_disjoint(&me), "another pool does its own work");
    });
    let inside = Mutex::new(None);
    own.for_each(2, &|_| {
        *inside.lock().expect("no task panics") = Some((std::thread::current().id(), threads_of(&own)))
    });
    let (thread, (threads, seen)) = inside.into_inner().expect("no task panics").expect("a task ran");
    assert!(threads == 1 && seen == std::collections::HashSet::from([thread]), "a pool inside of itself");
}

#[cfg(unix)]
fn after_a_fork() {
    same_as_inline(None, MANY);
    assert!(RayonGlobal.threads() > 1, "the pool has started");
    let pool = RayonPool::new(2).expect("threads");
    same_as_inline(Some(&pool), MANY);
    let child = || {
        for n in [FEW, MANY] {
            same_as_inline(None, n);
            same_as_inline(Some(&pool), n);
            same_as_inline(Some(&RayonPool::new(2).expect("threads")), n);
        }
        (RayonGlobal.threads(), pool.threads()) == (1, 1)
    };
    assert!(fork::in_child(child), "the forked process hangs or finds something else");
}

#[cfg(unix)]
#[test]
fn a_forked_process_searches() {
    start("after a fork", |command| {
        command.env("RAYON_NUM_THREADS", "3");
    });
}

/// A user id without processes. The limit on processes counts those of a user.
#[cfg(target_os = "linux")]
const NOBODY: u32 = 65_534;

#[cfg(target_os = "linux")]
fn no_thread_to_be_had() {
    let limit = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
    rustix::process::setrlimit(rustix::process::Resource::Nproc, limit).expect("a limit below the system's");
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "the limit holds");
    same_as_inline(None, FEW);
    same_as_inline(None, MANY);
    assert_eq!(RayonGlobal.threads(), 1);
    assert!(RayonPool::new(2).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn without_threads_the_calling_thread_does_the_work() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        return start("no thread to be had", |_| ());
    }
    // No limit holds for root. Another user may not be able to reach the folder of this program.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("an own folder");
    let copy = folder.path().join("threads");
    std::fs::copy(std::env::current_exe().expect("the path of this program"), &copy).expect("room for a copy");
    start("no thread to be had", |command| {
        let mut other = Command::new(&copy);
        other.args(command.get_args().map(ToOwned::to_owned).collect::<Vec<_>>());
        other.env(ROLE, "no thread to be had").uid(NOBODY).current_dir("/");
        *command = other;
    });
}
