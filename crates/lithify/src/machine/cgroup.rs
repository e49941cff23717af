//! What the control groups of this process leave it of memory. The limit rarely stands in its own group: Slurm sets it for
//! the job, one or two levels up, and what a parent allows, its children share.

use std::path::{Component, Path, PathBuf};

/// Version 1 says that there is no limit by one that is nearly as large as a number can be.
const UNLIMITED: u64 = 1 << 62;

/// How the two versions name things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where a hierarchy of groups that may limit memory can be seen.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The group that is seen at `point`.
    group: PathBuf,
    point: PathBuf,
}

/// The least that is left by a group of this process or any group above it, in bytes, and that group's name. `process` is
/// the process's directory in `/proc`.
pub(super) fn memory(process: &Path) -> Option<(u64, PathBuf)> {
    let groups = read(&process.join("cgroup"))?;
    let mounts = read(&process.join("mountinfo"))?;
    let mut found = Vec::new();
    for mount in mounts.lines().filter_map(mount) {
        let group = groups.lines().find_map(|line| group(line, mount.version));
        // Where the group is not below what is mounted there, it is not limited by it.
        let Some(below) = group.and_then(|group| below(&mount.group, Path::new(group))) else { continue };
        found.extend(below.ancestors().filter_map(|below| {
            let left = left(&mount.point.join(below), mount.version)?;
            // Joining nothing would leave a slash at the end.
            let top = below.as_os_str().is_empty();
            Some((left, if top { mount.group.clone() } else { mount.group.join(below) }))
        }));
    }
    // Of those that leave the same, the highest is where the limit was set.
    found.into_iter().min_by_key(|(left, group)| (*left, group.components().count()))
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The group that a line of `/proc/self/cgroup` names, as in `4:memory:/job` and `0::/job`.
fn group(line: &str, version: Version) -> Option<&str> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
    let right = match version {
        Version::One => controllers.split(',').any(|one| one == "memory"),
        Version::Two => number == "0" && controllers.is_empty(),
    };
    // A group that was removed while the process was in it still limits it, as those above do.
    right.then(|| group.strip_suffix(" (deleted)").unwrap_or(group))
}

/// The mount that a line of `/proc/self/mountinfo` tells of, as in
/// `35 31 0:32 /job /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory`.
fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (group, point) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let (name, options) = (kind.next()?, kind.nth(1)?);
    let version = match name {
        "cgroup2" => Version::Two,
        "cgroup" if options.split(',').any(|one| one == "memory") => Version::One,
        _ => return None,
    };
    Some(Mount { version, group: unescaped(group).into(), point: unescaped(point).into() })
}

/// A path as the kernel writes it in tables: what would separate fields is written as `\040`.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The way from the group that a mount shows down to a group of this process, if it leads down. Both are seen from the
/// root of the process's namespace of groups, and begin with `/..` where they are not below it.
fn below(shown: &Path, group: &Path) -> Option<PathBuf> {
    if let Ok(way) = group.strip_prefix(shown) {
        // One more `..` leads up and out of it.
        let down = way.components().all(|part| matches!(part, Component::Normal(_)));
        return down.then(|| way.to_owned());
    }
    let is_up = |part: &Component<'_>| *part == Component::ParentDir;
    let ups = |path: &Path| path.components().filter(is_up).count();
    // The mount shows a group above the namespace's root: groups between have names that are not told, but that group
    // is above this one for sure.
    let above = shown.components().skip(1).all(|part| is_up(&part)) && ups(shown) > ups(group);
    above.then(PathBuf::new)
}

/// What a group's limit leaves, in bytes, if it has one. The page cache counts towards what a group holds but gives way,
/// so only the memory of processes is taken off, and files in memory.
fn left(group: &Path, version: Version) -> Option<u64> {
    let (limit, held) = match version {
        Version::One => ("memory.limit_in_bytes", ["total_rss", "total_shmem"]),
        Version::Two => ("memory.max", ["anon", "shmem"]),
    };
    let statistics = read(&group.join("memory.stat")).unwrap_or_default();
    let statistic = |name| statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    // Version 1 also tells of limits above what a container sees.
    let above = statistic("hierarchical_memory_limit").map(str::to_owned);
    let limits = read(&group.join(limit)).into_iter().chain(above);
    let limit = limits.filter_map(|limit| limit.trim().parse::<u64>().ok()).min()?;
    let held = held.iter().filter_map(|name| statistic(name)?.trim().parse::<u64>().ok());
    (limit < UNLIMITED).then(|| held.fold(limit, u64::saturating_sub))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory that is removed in the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("lithify-cgroup-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        /// As `/proc/self` of a process in `group`, where `shown` of a hierarchy is mounted at `at` of this tree.
        fn process(&self, group: &str, shown: &str, kind: &str) {
            self.file("cgroup", group);
            let point = self.0.join("at").display().to_string().replace(' ', "\\040");
            let others = "22 27 0:21 / /proc rw - proc proc rw\n29 27 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
            self.file(
                "mountinfo",
                &format!("{others}35 31 0:32 {shown} {point} rw,relatime shared:9 - {kind}\n"),
            );
        }

        fn memory(&self) -> Option<(u64, String)> {
            memory(&self.0).map(|found| (found.0, found.1.to_str().unwrap().to_owned()))
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const V1: &str = "cgroup cgroup rw,memory";
    const V2: &str = "cgroup2 cgroup2 rw,nsdelegate";
    const NO_LIMIT: &str = "9223372036854771712\n";

    #[test]
    fn the_limit_of_a_job_stands_above_the_task() {
        let tree = Tree::new("v1 job");
        tree.process("5:cpu:/\n4:memory:/slurm/job_7/step_0/task_0\n0::/\n", "/", V1);
        for (group, limit) in [
            ("", NO_LIMIT),
            ("slurm", NO_LIMIT),
            ("slurm/job_7", "1000000\n"),
            ("slurm/job_7/step_0", "2000000\n"),
            ("slurm/job_7/step_0/task_0", NO_LIMIT),
        ] {
            tree.file(&format!("at/{group}/memory.limit_in_bytes"), limit);
        }
        assert_eq!(tree.memory(), Some((1_000_000, "/slurm/job_7".into())));
        // What its other tasks hold is gone, what is cached is not.
        tree.file(
            "at/slurm/job_7/memory.stat",
            "cache 900000\nrss 5\ntotal_cache 900000\ntotal_rss 300000\ntotal_shmem 1000\n",
        );
        assert_eq!(tree.memory(), Some((699_000, "/slurm/job_7".into())));
        tree.file("at/slurm/job_7/step_0/memory.stat", "total_rss 3000000\n");
        assert_eq!(tree.memory(), Some((0, "/slurm/job_7/step_0".into())));
    }

    #[test]
    fn version_1_tells_of_limits_above_a_container() {
        let tree = Tree::new("v1-container");
        tree.process("4:memory:/\n", "/", V1);
        tree.file("at/memory.limit_in_bytes", NO_LIMIT);
        tree.file("at/memory.stat", "hierarchical_memory_limit 9000\ntotal_rss 1000\n");
        assert_eq!(tree.memory(), Some((8000, "/".into())));
        // Those below repeat what was set above.
        tree.process("4:memory:/sub\n", "/", V1);
        tree.file("at/sub/memory.stat", "hierarchical_memory_limit 9000\ntotal_rss 1000\n");
        assert_eq!(tree.memory(), Some((8000, "/".into())));
    }

    #[test]
    fn groups_of_version_2_need_not_have_the_controller() {
        let tree = Tree::new("v2");
        tree.process("0::/system.slice/job_7/step_0/user/task_0\n", "/", V2);
        // The root has no limit, and the lowest groups are not controlled.
        tree.file("at/cgroup.controllers", "memory\n");
        tree.file("at/system.slice/memory.max", "max\n");
        tree.file("at/system.slice/job_7/memory.max", "5000\n");
        tree.file("at/system.slice/job_7/memory.stat", "anon 1000\nfile 3500\nshmem 500\nanon_thp 7\n");
        tree.file("at/system.slice/job_7/step_0/memory.max", "max\n");
        fs::create_dir_all(tree.0.join("at/system.slice/job_7/step_0/user/task_0")).unwrap();
        assert_eq!(tree.memory(), Some((3500, "/system.slice/job_7".into())));
    }

    #[test]
    fn groups_are_found_from_within_containers() {
        for (name, group, shown, expected) in [
            // Its own namespace: what it sees begins with its own group.
            ("own", "/", "/", Some("/")),
            ("own-sub", "/sub", "/", Some("/")),
            // None, but its group is mounted.
            ("bound", "/docker/1", "/docker/1", Some("/docker/1")),
            ("bound-sub", "/docker/1/sub", "/docker/1", Some("/docker/1")),
            // The mount is older than the namespace.
            ("older", "/", "/..", Some("/..")),
            ("older-sub", "/sub", "/../..", Some("/../..")),
            ("older-known", "/../../a/b", "/../..", Some("/../..")),
            // What is mounted is not above it.
            ("outside", "/..", "/", None),
            ("beside", "/../other", "/", None),
            ("other", "/docker/2", "/docker/1", None),
            ("unlike", "/docker/10", "/docker/1", None),
            ("higher", "/../..", "/..", None),
        ] {
            let tree = Tree::new(name);
            tree.process(&format!("0::{group}\n"), shown, V2);
            tree.file("at/memory.max", "4096\n");
            assert_eq!(tree.memory(), expected.map(|name| (4096, name.into())), "{name}");
        }
    }

    #[test]
    fn what_tells_nothing_limits_nothing() {
        let tree = Tree::new("nothing");
        assert_eq!(tree.memory(), None);
        tree.process("4:memory:/a\n", "/", V1);
        assert_eq!(tree.memory(), None);
        tree.file("at/a/memory.limit_in_bytes", "lots\n");
        tree.file("at/memory.limit_in_bytes", NO_LIMIT);
        assert_eq!(tree.memory(), None);
        // Both versions at once, of which one has the controller.
        tree.process("4:memory:/a\n0::/b\n", "/", V2);
        assert_eq!(tree.memory(), None);
    }
}
