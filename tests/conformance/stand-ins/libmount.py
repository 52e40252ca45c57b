"""As much of libmount's Python module as crun's tests call: a mount table read from a file in the
format of /proc/PID/mountinfo (proc_pid_mountinfo(5)), and the last mount at a target."""


class Mount:
    def __init__(self, line):
        front, _, back = line.partition(" - ")
        fields = front.split()
        self.target = fields[4]
        self.vfs_options = fields[5]
        self.fs_options = back.split()[2]


class Table:
    def __init__(self, path):
        with open(path) as file:
            self.mounts = [Mount(line) for line in file if " - " in line]

    def find_target(self, target):
        found = [mount for mount in self.mounts if mount.target == target]
        return found[-1] if found else None
