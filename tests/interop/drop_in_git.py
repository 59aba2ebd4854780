#!/usr/bin/env python3
"""Is a server a drop-in for the official git server? Both are given the same calls on two copies of the same repository;
answers, lists of tools and the repositories afterwards must be the same.

    python drop_in_git.py [--verbose] COMMAND [ARGUMENT...]     for instance: drop_in_git.py target/release/mcpool serve --tools git

`--repository PATH` is appended to the command. Needs mcp-server-git in the same Python. Differences that are meant stand in
drop_in/git_allowed.json with a reason each; one that no longer occurs fails too, so that the list stays true. Exit code 1
if there is any other difference. Made equal before comparing: the directory the copies are in.
"""

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REFERENCE = [sys.executable, "-m", "mcp_server_git"]
ANSWER_WITHIN_S = 20
NO_ANSWER = "no answer"
# Of both servers and of what makes the repositories: the same commits have the same names.
WHO = {
    "GIT_AUTHOR_NAME": "Ann Autor", "GIT_AUTHOR_EMAIL": "ann@example.org", "GIT_COMMITTER_NAME": "Carl", "GIT_COMMITTER_EMAIL": "carl@example.org",
}
# The only form of a date that GitPython reads as git does.
UTC = {"GIT_AUTHOR_DATE": "1705329025 +0000", "GIT_COMMITTER_DATE": "1705366923 +0000"}
ZONES = {"GIT_AUTHOR_DATE": "2024-01-15T14:30:25+0530", "GIT_COMMITTER_DATE": "2024-01-16T01:02:03-0300"}


class Server:
    """A server over pipes, which is asked one thing at a time."""

    def __init__(self, command, base):
        self.base, self.last_id = base, 0
        env = {"PATH": os.environ["PATH"], "HOME": str(base / "home"), "TZ": "UTC", **WHO, **UTC}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=base, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        self.request("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def is_readable(self):
        return bool(select.select([self.process.stdout], [], [], ANSWER_WITHIN_S)[0])

    def request(self, method, params):
        self.last_id += 1
        try:
            self.send({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})
            line = self.process.stdout.readline() if self.is_readable() else json.dumps({"error": NO_ANSWER}).encode()
        except BrokenPipeError:
            line = b""
        if not line:
            return {"ended": True}
        answer = json.loads(line)
        return {key: answer[key] for key in ("result", "error") if key in answer}

    def call(self, tool, arguments):
        """The text of an answer and whether it is an error; or the protocol error."""
        answer = self.request("tools/call", {"name": tool, "arguments": substitute(arguments, self.base)})
        if "result" not in answer:
            return answer
        result = answer["result"]
        texts = [block["text"] for block in result["content"]]
        seen = {"texts": texts, "is_error": result.get("isError", False), "structured": result.get("structuredContent")}
        return json.loads(json.dumps(seen).replace(str(self.base), "BASE"))

    def close(self):
        self.process.stdin.close()
        return self.process.wait(timeout=20)


def substitute(value, base):
    if isinstance(value, str):
        return value.replace("BASE", str(base))
    if isinstance(value, list):
        return [substitute(item, base) for item in value]
    if isinstance(value, dict):
        return {key: substitute(item, base) for key, item in value.items()}
    return value


def git(where, *arguments, check=True, data=None):
    env = {"PATH": os.environ["PATH"], "HOME": str(where.parent / "home"), "TZ": "UTC", "GIT_CONFIG_NOSYSTEM": "1", **WHO, **ZONES}
    run = subprocess.run(["git", *arguments], cwd=where, env=env, input=data or b"", capture_output=True, check=False)
    if check and run.returncode != 0:
        raise RuntimeError(f"git {arguments}: {run.stderr.decode()}")
    return run.stdout


def build(base):
    """A repository with history, branches, a merge, tags, changes of every kind, and one beside it that is empty."""
    (base / "home").mkdir(parents=True)
    (base / "home/.gitconfig").write_text("[init]\n\tdefaultBranch = main\n")
    repo = base / "repo"
    repo.mkdir()
    git(repo, "init", "-q")
    write = lambda name, content: ((repo / name).parent.mkdir(parents=True, exist_ok=True), (repo / name).write_bytes(content))
    write("a.txt", b"".join(b"line %d\n" % i for i in range(40)))
    write("dir/sub/deep.txt", b"deep\n")
    write("dir/no newline", b"no newline")
    write("b\xe4r \"q\".txt", b"umlaut\n")
    write("latin1.txt", b"caf\xe9\n")
    write("binary.bin", bytes(range(256)))
    write("run.sh", b"#!/bin/sh\n")
    (repo / "link").symlink_to("a.txt")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-F", "-", "--cleanup=verbatim", data=b"first\n\nbody, two\n  lines \xc3\xa4\n\n\n")
    git(repo, "tag", "light")
    git(repo, "tag", "-a", "v1", "-m", "a tag")
    git(repo, "branch", "feature")
    write("a.txt", b"".join(b"line %d\n" % i for i in range(40)).replace(b"line 20\n", b"line twenty\n"))
    write("empty", b"")
    git(repo, "mv", "dir/sub/deep.txt", "dir/moved deep.txt")
    git(repo, "rm", "-q", "binary.bin")
    os.chmod(repo / "run.sh", 0o755)
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "second")
    git(repo, "checkout", "-q", "feature")
    write("feature.txt", b"feature\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "--allow-empty-message", "-m", "")
    git(repo, "checkout", "-q", "main")
    git(repo, "merge", "-q", "--no-ff", "-m", "merge\n\n", "feature")
    git(repo, "update-ref", "refs/remotes/origin/main", "HEAD~1")
    git(repo, "update-ref", "refs/heads/dir/branch", "HEAD")
    write("a.txt", b"changed\n" * 3)
    write("staged.txt", b"staged\n")
    git(repo, "add", "staged.txt")
    write("new.txt", b"untracked\n")
    write("-p", b"looks like an option\n")
    write(".gitignore", b"*.ignored\n")
    write("x.ignored", b"ignored\n")
    (repo / "dir/no newline").unlink()
    (repo / "out").symlink_to("../other")
    other = base / "other"
    other.mkdir()
    git(other, "init", "-q")
    (other / "f").write_text("f\n")


def state(base):
    """What a repository is afterwards."""
    repo = base / "repo"
    parts = [
        git(repo, "for-each-ref", check=False), git(repo, "symbolic-ref", "-q", "HEAD", check=False), git(repo, "ls-files", "-s", check=False),
        git(repo, "status", "--porcelain", check=False), git(repo, "cat-file", "-p", "HEAD", check=False),
        str((repo / ".git/MERGE_HEAD").exists()).encode(),
    ]
    return b"\n".join(parts).decode(errors="replace").replace(str(base), "BASE")


R = {"repo_path": "BASE/repo"}
READS = [
    *[("git_status", {"repo_path": path}) for path in (
        "BASE/repo", "BASE/repo/", "BASE/repo/.git", "repo", "./repo/../repo", "BASE/repo/dir", "BASE/repo/missing", "BASE/other", "BASE",
        "BASE/missing", "", "/", "BASE/repo/out", "~/../repo", "BASE/repo\x00x")],
    *[("git_diff_unstaged", {**R, "context_lines": lines}) for lines in (0, 1, 3, "2", -1, 1000, 2.0, "x", None, True)],
    ("git_diff_unstaged", R),
    *[("git_diff_staged", {**R, "context_lines": lines}) for lines in (0, 3, "5", -2)],
    *[("git_diff", {**R, "target": target}) for target in (
        "HEAD", "HEAD~1", "main", "feature", "v1", "light", "origin/main", "HEAD~1^2", "HEAD^{tree}", "missing", "", "-p", "--output=x", "HEAD..main",
        "HEAD...main", "^HEAD", "HEAD~99", "main:a.txt", "HEAD\n", "0" * 40, "@", ":/second", "HEAD HEAD", "a.txt")],
    *[("git_log", {**R, **more}) for more in (
        {}, {"max_count": 1}, {"max_count": "2"}, {"max_count": 0}, {"max_count": -1}, {"start_timestamp": "2024-01-01"}, {"end_timestamp": "2023-01-01"},
        {"start_timestamp": "2 weeks ago"}, {"start_timestamp": "-x"}, {"end_timestamp": "--all"}, {"start_timestamp": None, "end_timestamp": ""},
        {"start_timestamp": "nonsense"}, {"max_count": None})],
    *[("git_show", {**R, "revision": revision}) for revision in (
        "HEAD", "HEAD~1", "HEAD^2", "light", "v1", "feature", "main~1", ":/first", "HEAD:a.txt", "HEAD:latin1.txt", "HEAD:", "HEAD:dir", "HEAD^{tree}",
        "HEAD:missing", "missing", "", "-p", "--all", "light:binary.bin", "HEAD~1:run.sh", "HEAD..main", "v1:dir/sub", "HEAD:link", "HEAD@{0}",
        "HEAD\x00", "HEAD:../x", "HEAD:/")],
    *[("git_branch", {**R, "branch_type": kind}) for kind in ("local", "remote", "all", "other", "", "-d")],
    *[("git_branch", {**R, "branch_type": "all", **more}) for more in (
        {"contains": "HEAD~1"}, {"not_contains": "HEAD~1"}, {"contains": "missing"}, {"contains": ""}, {"contains": "-d"}, {"not_contains": "--x"},
        {"contains": None}, {"contains": "light", "not_contains": "main"})],
    ("git_status", {}), ("git_status", {"repo_path": 1}), ("git_diff", R), ("git_add", {**R, "files": []}), ("git_add", {**R, "files": "a"}),
    ("no_such_tool", {}), ("git_status", {**R, "unknown": 1}),
]
WRITES = [
    *[[("git_add", {**R, "files": files})] for files in (
        ["."], ["a.txt"], ["new.txt", "a.txt"], ["-p"], ["*.txt"], ["dir"], ["dir/no newline"], ["missing"], ["new.txt", "missing"], ["run.sh"],
        ["../other/f"], ["/etc/passwd"], ["BASE/repo/new.txt"], ["x.ignored"], ["out"], ["out/f"], ["dir/../new.txt"], [""], ["link"], [":/"], ["staged.txt"],
        [".git/config"], ["--all"], ["new.txt", "."], [":(exclude)a.txt"])],
    [("git_reset", R), ("git_status", R)],
    [("git_commit", {**R, "message": "third\n\nbody"}), ("git_log", {**R, "max_count": 1}), ("git_show", {**R, "revision": "HEAD"})],
    [("git_commit", {**R, "message": ""}), ("git_log", {**R, "max_count": 1})],
    [("git_commit", {**R, "message": "-m\n# kept\n\n\n"}), ("git_log", {**R, "max_count": 1})],
    [("git_reset", R), ("git_commit", {**R, "message": "nothing"})],
    [("git_add", {**R, "files": ["."]}), ("git_add", {**R, "files": ["."]}), ("git_commit", {**R, "message": "all"}), ("git_status", R)],
    *[[("git_create_branch", {**R, "branch_name": name, "base_branch": base})] for name, base in (
        ("new", None), ("new", ""), ("new", "feature"), ("new", "v1"), ("new", "light"), ("new", "origin/main"), ("new", "HEAD~1"), ("new", "missing"),
        ("new", "-d"), ("-d", None), ("feature", None), ("dir", None), ("dir/other", None), ("a b", None), ("new", "dir/branch"), ("", None), ("a..b", None))],
    *[[("git_checkout", {**R, "branch_name": name}), ("git_branch", {**R, "branch_type": "local"})] for name in (
        "feature", "main", "light", "v1", "HEAD~1", "missing", "-f", "--detach", "dir/branch", "origin/main", "a.txt", "")],
    [("git_add", {**R, "files": ["."]}), ("git_commit", {**R, "message": "all"}), ("git_checkout", {**R, "branch_name": "feature"}), ("git_status", R),
     ("git_checkout", {**R, "branch_name": "light"}), ("git_create_branch", {**R, "branch_name": "n"}),
     ("git_create_branch", {**R, "branch_name": "n", "base_branch": "main"}), ("git_checkout", {**R, "branch_name": "n"})],
]
MERGE = [("git_status", R), ("git_add", {**R, "files": ["a.txt"]}), ("git_commit", {**R, "message": "merged"}), ("git_log", {**R, "max_count": 2}), ("git_status", R)]
LATIN1 = [("git_diff", {**R, "target": "light"}), ("git_show", {**R, "revision": "HEAD"})]
UNBORN = [(tool, {"repo_path": "BASE/repo", **more}) for tool, more in (
    ("git_status", {}), ("git_log", {}), ("git_diff_unstaged", {}), ("git_diff_staged", {}), ("git_diff", {"target": "HEAD"}), ("git_show", {"revision": "HEAD"}),
    ("git_branch", {"branch_type": "all"}), ("git_create_branch", {"branch_name": "x"}), ("git_reset", {}), ("git_commit", {"message": "none"}),
    ("git_add", {"files": ["f"]}), ("git_commit", {"message": "first"}), ("git_log", {}))]


def start_merge(base):
    repo = base / "repo"
    git(repo, "stash", "-q", "-u")
    git(repo, "checkout", "-q", "-b", "theirs", "HEAD~1")
    (repo / "a.txt").write_text("theirs\n")
    git(repo, "commit", "-q", "-am", "theirs")
    git(repo, "checkout", "-q", "main")
    (repo / "a.txt").write_text("ours\n")
    git(repo, "commit", "-q", "-am", "ours")
    git(repo, "merge", "-q", "theirs", check=False)
    (repo / "a.txt").write_text("both\n")


def add_latin1(base):
    (base / "repo/latin1.txt").write_bytes(b"caf\xe9\nna\xefve\n")
    git(base / "repo", "commit", "-q", "-m", "latin 1", "latin1.txt")


def start_unborn(base):
    shutil.rmtree(base / "repo")
    (base / "repo").mkdir()
    git(base / "repo", "init", "-q")
    (base / "repo/f").write_text("f\n")


class Comparison:
    def __init__(self, command, parent):
        self.sides = [(parent / "one", REFERENCE), (parent / "two", command)]
        self.compared, self.differences = 0, []
        self.pristine = parent / "pristine"
        build(self.pristine)
        self.restore()
        self.servers = [self.start(0), self.start(1)]

    def restore(self, prepare=None):
        """Puts both repositories back, in directories that stay: the servers may work in them."""
        for base, _ in self.sides:
            base.mkdir(exist_ok=True)
            for name in ("home", "repo", "other"):
                shutil.rmtree(base / name, ignore_errors=True)
                shutil.copytree(self.pristine / name, base / name, symlinks=True)
            if prepare:
                prepare(base)

    def start(self, side):
        base, command = self.sides[side]
        return Server([*command, "--repository", str(base / "repo")], base)

    def compare(self, name, pair):
        self.compared += 1
        if pair[0] != pair[1]:
            self.differences.append((name, *[json.dumps(side, ensure_ascii=False) for side in pair]))

    def calls(self, name, steps, writes):
        for tool, arguments in steps:
            step = f"{name}{tool} {json.dumps(arguments)}"
            answers = [server.call(tool, arguments) for server in self.servers]
            self.compare(step, answers)
            if "texts" not in answers[0] and "error" not in answers[0] or answers[0].get("error") == NO_ANSWER:
                self.servers[0].process.kill()
                self.servers[0] = self.start(0)
        if writes:
            self.compare(f"{name}{steps[0][0]} {json.dumps(steps[0][1])}, afterwards", [state(base) for base, _ in self.sides])

    def tools(self):
        listed = [server.request("tools/list", {}).get("result", {}).get("tools", []) for server in self.servers]
        self.compare("tools/list, the names in order", [[tool["name"] for tool in tools] for tools in listed])
        for theirs, ours in zip(*listed):
            for member in sorted({*theirs, *ours}):
                self.compare(f"tools/list, {theirs['name']}.{member}", [theirs.get(member), ours.get(member)])


def run(command, verbose):
    parent = Path(os.path.realpath(tempfile.mkdtemp(prefix="mcpool-drop-in-git-")))
    comparison = Comparison(command, parent)
    comparison.tools()
    for step in READS:
        comparison.calls("", [step], False)
    for steps in WRITES:
        comparison.restore()
        comparison.calls("", steps, True)
    more = (("merge: ", start_merge, MERGE), ("no commit yet: ", start_unborn, UNBORN), ("no UTF-8: ", add_latin1, LATIN1))
    for name, prepare, steps in more:
        comparison.restore(prepare)
        comparison.calls(name, steps, True)
    comparison.compare("the exit code", [server.close() for server in comparison.servers])
    shutil.rmtree(parent)
    return report(comparison, json.loads((HERE / "drop_in/git_allowed.json").read_text()), verbose)


def allows(rule, name, theirs, ours):
    """A rule allows the differences whose name and sides match, and which are none without all that matches `ignoring`."""
    for pattern, text in ((rule.get("row"), name), (rule.get("reference"), theirs), (rule.get("other"), ours)):
        if pattern is not None and not re.search(pattern, text, re.DOTALL):
            return False
    if "ignoring" not in rule:
        return "other" in rule
    return re.sub(rule["ignoring"], "", theirs) == re.sub(rule["ignoring"], "", ours)


def report(comparison, rules, verbose):
    used, failed = set(), 0
    for name, theirs, ours in comparison.differences:
        found = next((index for index, rule in enumerate(rules) if allows(rule, name, theirs, ours)), None)
        if found is None:
            failed += 1
        else:
            used.add(found)
        if found is None or verbose:
            print(f"{'DIFFERS' if found is None else 'allowed'} {name[:300]}\n    reference {theirs[:1500]}\n    other     {ours[:1500]}")
    stale = [rule for index, rule in enumerate(rules) if index not in used]
    for rule in stale:
        print(f"STALE   nothing differs in this way any more: {json.dumps(rule)}")
    same = comparison.compared - len(comparison.differences)
    print(f"{same} passed, {len(comparison.differences) - failed} differ as they should, {failed + len(stale)} failed")
    return 1 if failed or stale else 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    is_verbose = bool(arguments) and arguments[0] == "--verbose"
    if len(arguments) <= is_verbose:
        sys.exit("usage: drop_in_git.py [--verbose] COMMAND [ARGUMENT...]")
    sys.exit(run(arguments[is_verbose:], is_verbose))
