// SPDX-License-Identifier: GPL-2.0

//! Runs one program from its beginning to its account.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::actor::{Actor, Machine, Stage};
use crate::cgroup::Memory;
use crate::history::{Call, History, Observation, RingState};
use crate::kcov::Reached;
use crate::klog::KernelLog;
use crate::log::{WRITERS, Waiting};
use crate::memory::LATE_US;
use crate::oracle::{self, Complaint};
use crate::program::{
    Access, Buffer, Disturb, How, Len, Op, Program, SLOTS, Setting, Setup, to_hex,
};
use crate::ring::NAME;
use crate::sys;

/// How long a call may go on although what it waits for is there. Hosts can be slow.
const LOST_WAKE_UP: Duration = Duration::from_secs(20);

/// How long an actor waits for others before it is interrupted.
const PATIENCE: Duration = Duration::from_millis(30);

/// Memory that may be charged beyond the capacities of the rings: what the kernel keeps for each
/// CPU, and what the fuzzer itself needs.
const SLACK: u64 = 1536 << 10;

/// How long memory may take to be given back.
const GIVEN_BACK: Duration = Duration::from_secs(4);

/// What came of a program.
pub struct Outcome {
    pub complaints: Vec<Complaint>,
    pub reached: Reached,
}

/// Runs programs, one after the other.
pub struct Runner {
    pub machine: &'static Machine,
    pub memory: Memory,
    pub log: KernelLog,
    pub text: u64,
}

impl Runner {
    pub fn run(&mut self, bytes: &[u8]) -> Outcome {
        let program = Program::decode(bytes);
        let machine = self.machine;
        machine.log.clear();
        let number = machine.log.set_program(bytes);
        machine.traces.iter().for_each(crate::kcov::Trace::clear);
        for [region, _] in &machine.regions {
            region.restore();
        }
        LATE_US.store(program.setup.late_us, Relaxed);
        crate::say(&format!("at {number} {}", to_hex(bytes)));
        self.log.program(number, program.setup.fail_nth > 0);
        let mut complaints = self.play(&program);
        if program.setup.fail_nth > 0 {
            self.log.failures_end();
        }
        if let Some(line) = self.log.trouble() {
            complaints.push(Complaint::new(
                "the kernel has nothing to complain of",
                line,
            ));
        }
        Outcome {
            complaints,
            reached: Reached::of(&machine.traces, self.text),
        }
    }

    fn play(&mut self, program: &Program) -> Vec<Complaint> {
        let machine = self.machine;
        let mut complaints = Vec::new();
        while let Some(ring) = machine.control.next(0) {
            // Left behind by a program that did not come to its end.
            let end = ring.name.iter().position(|byte| *byte == 0).unwrap_or(0);
            let name = std::str::from_utf8(&ring.name[..end]).unwrap_or_default();
            if machine.control.destroy(name) < 0 {
                break;
            }
        }
        let before = self.memory.charged();
        let capacity = (machine.page * program.setup.pages) as u64;
        let created = traced(machine, || {
            machine.control.create(program.setup.kind, capacity)
        });
        if created < 0 {
            let text = format!("errno {}", -created);
            return vec![Complaint::new("a ring can be created", text)];
        }
        let stage = Stage::of(machine, program);
        let mut observations = Vec::new();
        complaints.extend(act(&stage, program, &mut observations));
        let (settling, more) = self.settle(&stage, before, &mut observations);
        complaints.extend(more);
        let history = history(&stage, observations, settling);
        complaints.extend(oracle::judge(&history));
        complaints
    }

    /// Looks at what is left, takes it out, and ends everything. Returns the tick at which that
    /// began.
    fn settle(
        &mut self,
        stage: &Stage,
        before: u64,
        observations: &mut Vec<(u64, Observation)>,
    ) -> (Settling, Vec<Complaint>) {
        let machine = stage.machine;
        let mut complaints = Vec::new();
        let log = machine.log;
        log.actors[0].done.store(false, SeqCst);
        let ended = log.tick();
        machine.regions[0][0].restore();
        let look = |observations: &mut Vec<(u64, Observation)>| {
            observations.push((log.tick(), stage.observe(0)));
        };
        look(observations);
        let ring = machine.control.ring();
        let settling = Settling {
            ended,
            alive: ring.is_some(),
        };
        let capacity = ring.map_or(0, |ring| ring.capacity);
        // A ring that was destroyed lives as long as its endpoints.
        let most = if ring.is_some() {
            before + capacity + SLACK
        } else {
            u64::MAX
        };
        if let Some(more) = self.memory.more_than(most, GIVEN_BACK) {
            complaints.push(Complaint::new(
                "the memory of a ring is that of its capacity",
                format!("{more} bytes are charged, {before} were before, capacity {capacity}"),
            ));
        }
        let setup = Setup {
            actors: 1,
            processes: 0,
            fail_nth: 0,
            ..stage.setup
        };
        let quiet = Stage::of(
            machine,
            &Program {
                setup,
                steps: Vec::new(),
            },
        );
        for slot in 0..SLOTS as u8 {
            quiet.put(slot, stage.put(slot, None));
        }
        let kind = stage.setup.kind;
        let mut main = Actor::new(&quiet, 0);
        let free = (0..SLOTS as u8).find(|slot| quiet.get(*slot).is_none());
        let mut run = |steps: &[Op]| {
            main.run(steps);
        };
        let look = |observations: &mut Vec<(u64, Observation)>| {
            observations.push((log.tick(), quiet.observe(0)));
        };
        if stage.setup.close_first {
            let all: Vec<Op> = (0..SLOTS as u8).map(|slot| Op::Close { slot }).collect();
            run(&all);
        }
        if let (true, Some(slot)) = (kind.is_broadcast() && !stage.setup.close_first, free) {
            // A newcomer shows where the tail is.
            run(&[Op::Open {
                slot,
                access: Access::Read,
                nonblock: true,
            }]);
            look(observations);
        }
        for slot in 0..SLOTS as u8 {
            run(&drain(slot));
        }
        look(observations);
        // One more session: it ends with its writer, and not before it has begun.
        let all: Vec<Op> = (0..SLOTS as u8).map(|slot| Op::Close { slot }).collect();
        run(&all);
        run(&[Op::Open {
            slot: 0,
            access: Access::Read,
            nonblock: true,
        }]);
        look(observations);
        run(&drain(0));
        run(&[
            Op::Open {
                slot: 1,
                access: Access::Write,
                nonblock: true,
            },
            write(1),
        ]);
        look(observations);
        run(&drain(0));
        look(observations);
        run(&[Op::Close { slot: 1 }]);
        run(&drain(0));
        look(observations);
        run(&[Op::Close { slot: 0 }]);
        let open = |ring: &RingState| ring.readers != 0 || ring.writers != 0;
        let until = Instant::now() + GIVEN_BACK;
        // What a killed process had open may take a while to be closed.
        while machine.control.ring().is_some_and(|ring| open(&ring)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        if let Some(ring) = machine.control.ring() {
            if open(&ring) {
                complaints.push(Complaint::new(
                    "closed endpoints are not counted",
                    format!("{ring:?}"),
                ));
            }
            traced(machine, || machine.control.destroy(NAME));
            if machine.control.ring().is_some() {
                complaints.push(Complaint::new(
                    "a destroyed ring has no name",
                    String::new(),
                ));
            }
        }
        (settling, complaints)
    }
}

/// Makes a call whose coverage counts, besides those of the actors.
fn traced<T>(machine: &Machine, call: impl FnOnce() -> T) -> T {
    let trace = machine.traces.first();
    if let Some(trace) = trace {
        trace.start();
    }
    let answer = call();
    if let Some(trace) = trace {
        trace.stop();
    }
    answer
}

/// When the settling phase began, and whether the ring still had its name.
struct Settling {
    ended: u64,
    alive: bool,
}

/// Reads until nothing is left, however much the ring can hold.
fn drain(slot: u8) -> Vec<Op> {
    let read = |class: u8, times: u8| Op::Read {
        slot,
        len: Len::of(class),
        how: How::Plain,
        buffer: Buffer::Present,
        times,
    };
    let nonblock = Op::Set {
        slot,
        setting: Setting::NonBlock,
    };
    vec![nonblock, read(Len::READABLE, 255), read(Len::READABLE, 255)]
}

fn write(slot: u8) -> Op {
    Op::Write {
        slot,
        len: Len::of(Len::SHORT),
        how: How::Plain,
        buffer: Buffer::Present,
        times: 1,
    }
}

impl Stage {
    fn of(machine: &'static Machine, program: &Program) -> Self {
        let ops = || program.steps.iter().map(|step| step.op);
        let solo = program.setup.actors == 0;
        Self {
            machine,
            setup: program.setup,
            slots: std::array::from_fn(|_| Mutex::new(None)),
            solo,
            signals: ops().any(|op| match op {
                Op::Signal { .. } => !solo,
                Op::Set { setting, .. } => setting == Setting::Async,
                _ => false,
            }),
            disturbed: ops().any(|op| {
                matches!(
                    op,
                    Op::Disturb {
                        disturb: Disturb::Protect | Disturb::Unmap,
                        ..
                    }
                )
            }),
            changes_flags: !solo
                && ops().any(|op| {
                    matches!(
                        op,
                        Op::Set {
                            setting: Setting::Block
                                | Setting::NonBlock
                                | Setting::Async
                                | Setting::NotAsync,
                            ..
                        }
                    )
                }),
        }
    }
}

/// Runs the steps, each by its actor.
fn act(
    stage: &Stage,
    program: &Program,
    observations: &mut Vec<(u64, Observation)>,
) -> Vec<Complaint> {
    let setup = program.setup;
    let mut prologue = Vec::new();
    let mut parts = vec![Vec::new(); setup.actors];
    for (number, step) in program.steps.iter().enumerate() {
        if stage.solo || number < setup.prologue {
            prologue.push(step.op);
        } else {
            parts[step.actor % setup.actors].push(step.op);
        }
    }
    let mut complaints = Vec::new();
    let log = stage.machine.log;
    thread::scope(|scope| {
        let main = scope.spawn(|| {
            let mut actor = Actor::new(stage, 0);
            actor.run(&prologue);
            actor.observations
        });
        complaints.extend(coordinate(stage, &[0]));
        for observation in main.join().unwrap_or_default() {
            observations.push((0, observation));
        }
    });
    if stage.solo {
        return complaints;
    }
    // Processes first, while there is no thread that could hold a lock.
    let mut children = Vec::new();
    for (part, who) in parts.iter().zip(1..) {
        if setup.is_process(who) {
            match sys::fork() {
                0 => {
                    while !log.go.load(SeqCst) {
                        thread::yield_now();
                    }
                    Actor::new(stage, who).run(part);
                    sys::exit_now(0);
                }
                child if child > 0 => {
                    log.actors[who].pid.store(child as i32, SeqCst);
                    children.push((who, child as i32));
                }
                _ => log.actors[who].done.store(true, SeqCst),
            }
        }
    }
    thread::scope(|scope| {
        let threads: Vec<usize> = (1..=setup.actors)
            .filter(|who| children.iter().all(|(child, _)| child != who))
            .collect();
        for who in &threads {
            let part = &parts[who - 1];
            let who = *who;
            scope.spawn(move || {
                while !log.go.load(SeqCst) {
                    thread::yield_now();
                }
                Actor::new(stage, who).run(part);
            });
        }
        log.go.store(true, SeqCst);
        let all: Vec<usize> = (1..=setup.actors).collect();
        complaints.extend(coordinate_with(stage, &all, &mut children));
    });
    complaints
}

fn coordinate(stage: &Stage, actors: &[usize]) -> Vec<Complaint> {
    coordinate_with(stage, actors, &mut Vec::new())
}

/// Watches actors until all are done. What waits for something that is not there is interrupted
/// once nobody is left to bring it; what waits although it is there has missed its wake-up.
fn coordinate_with(
    stage: &Stage,
    actors: &[usize],
    children: &mut Vec<(usize, i32)>,
) -> Vec<Complaint> {
    let log = stage.machine.log;
    let mut complaints = Vec::new();
    // For each actor: the wait that was last seen, since when, and since when in vain.
    let mut seen = [(0_u64, Instant::now(), None::<Instant>); WRITERS];
    loop {
        children.retain(|(who, child)| {
            let (ended, _) = sys::wait(*child, false);
            let gone = ended == i64::from(*child) || ended < 0;
            if gone {
                log.actors[*who].done.store(true, SeqCst);
                log.actors[*who].pid.store(0, SeqCst);
                log.actors[*who].tid.store(0, SeqCst);
            }
            !gone
        });
        let done = |who: &usize| log.actors[*who].done.load(SeqCst);
        if actors.iter().all(done) && children.is_empty() {
            return complaints;
        }
        let others_work = |who: usize| {
            actors.iter().any(|other| {
                *other != who && !done(other) && log.actors[*other].waiting() == Waiting::Nothing
            })
        };
        for who in actors {
            let actor = &log.actors[*who];
            let waits = actor.waits.load(SeqCst);
            let waiting = actor.waiting();
            let (last, since, vain) = &mut seen[*who];
            if *last != waits || waiting == Waiting::Nothing || done(who) {
                (*last, *since, *vain) = (waits, Instant::now(), None);
                continue;
            }
            let own = children.iter().all(|(child, _)| child != who);
            let on = actor.waiting_on.load(SeqCst);
            let ready = own && is_ready(stage, waiting, on);
            if actor.waits.load(SeqCst) != waits {
                continue;
            }
            let now = Instant::now();
            if ready {
                let first = *vain.get_or_insert(now);
                if now - first < LOST_WAKE_UP {
                    continue;
                }
                complaints.push(Complaint::new(
                    "whoever waits is woken",
                    format!("actor {who} waits {waiting:?} although it is there"),
                ));
            } else {
                *vain = None;
                let patience = if others_work(*who) {
                    PATIENCE
                } else {
                    Duration::from_millis(2)
                };
                if now - *since < patience {
                    continue;
                }
            }
            actor.kicks.fetch_add(1, SeqCst);
            let (pid, tid) = (actor.pid.load(SeqCst), actor.tid.load(SeqCst));
            if pid > 1 && tid > 1 {
                sys::tgkill(pid, tid, libc::SIGUSR2);
            }
            *since = now;
            *vain = None;
        }
        // While nobody waits, the actors need the CPU more.
        let waits = |who: &usize| log.actors[*who].waiting() != Waiting::Nothing;
        let pause = if actors.iter().any(waits) { 500 } else { 2_000 };
        thread::sleep(Duration::from_micros(pause));
    }
}

/// Says whether what is waited for is there, so that the wait must end by itself.
fn is_ready(stage: &Stage, waiting: Waiting, fd: i32) -> bool {
    let poll = |events: i16| sys::poll(fd, events, 0).1;
    match waiting {
        Waiting::ToRead => poll(libc::POLLIN) != 0,
        Waiting::PollRead => {
            poll(libc::POLLIN | libc::POLLPRI) & libc::POLLPRI == 0 && poll(libc::POLLIN) != 0
        }
        Waiting::PollWrite => poll(libc::POLLOUT) != 0,
        Waiting::ToWrite => {
            // A writer that sleeps is woken when a quarter is free.
            let free = stage
                .machine
                .control
                .ring()
                .map(|ring| (ring.capacity.saturating_sub(ring.unread), ring.capacity));
            let enough = free
                .is_some_and(|(free, capacity)| free >= (capacity / 2).max(libc::PIPE_BUF as u64));
            let events = poll(libc::POLLOUT);
            let has = |event: i16| events & event != 0;
            // An endpoint whose cursor was evicted has POLLERR as well, and POLLHUP.
            has(libc::POLLOUT) && (enough || (has(libc::POLLERR) && !has(libc::POLLHUP)))
        }
        Waiting::Nothing | Waiting::Anything => false,
    }
}

fn history(stage: &Stage, observations: Vec<(u64, Observation)>, settling: Settling) -> History {
    let log = stage.machine.log;
    let events = log.events();
    let processes: Vec<bool> = (0..WRITERS)
        .map(|who| stage.setup.is_process(who))
        .collect();
    let shared = processes.iter().any(|process| *process);
    let endpoints = log.endpoints(shared.then_some(settling.ended), &processes);
    let before = events
        .iter()
        .take_while(|event| event.begin < settling.ended)
        .count();
    let mut observations: Vec<Observation> = observations
        .into_iter()
        .map(|(tick, mut observation)| {
            if tick > 0 {
                observation.after = events.iter().take_while(|event| event.begin < tick).count();
            }
            observation
        })
        .collect();
    if !settling.alive {
        // Without a name, a ring without endpoints says nothing of itself any more.
        observations.retain(|observation| observation.ring.capacity > 0);
    }
    let mut events = events;
    // An open that was noted before its endpoint had a number gets it now.
    for event in events.iter_mut().filter(|event| event.call == Call::Open) {
        let opened = endpoints.iter().position(|endpoint| {
            event.begin < endpoint.opened.0 && event.end.is_some_and(|end| endpoint.opened.1 < end)
        });
        let only = endpoints
            .iter()
            .filter(|endpoint| {
                event.begin < endpoint.opened.0
                    && event.end.is_some_and(|end| endpoint.opened.1 < end)
            })
            .count();
        if let (Some(id), 1) = (opened, only) {
            event.endpoint = id as u8;
        }
    }
    History {
        kind: stage.setup.kind,
        solo: stage.solo,
        endpoints,
        events,
        observations,
        settling: before,
    }
}
