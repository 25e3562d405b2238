package cgroup

import (
	"testing"
	"testing/fstest"
)

const (
	mountV2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	mountV1 = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
	v1NoLimit = "9223372036854771712\n"
)

func TestTheLeastMemoryLimitOfTheGroupAndThoseAboveItCounts(t *testing.T) {
	for name, c := range map[string]struct {
		group, mounts string
		files         map[string]string // below /sys/fs/cgroup
		want          int64
	}{
		"a container":  {"0::/\n", mountV2, map[string]string{"memory.max": "134217728\n"}, 128 << 20},
		"no limit":     {"0::/\n", mountV2, map[string]string{"memory.max": "max\n", "memory.high": "max\n"}, 0},
		"the root":     {"0::/\n", mountV2, nil, 0},
		"a service":    {"0::/a.slice/b.service\n", mountV2, map[string]string{"a.slice/b.service/memory.max": "1000000\n"}, 1000000},
		"its slice":    {"0::/a.slice/b.service\n", mountV2, map[string]string{"a.slice/memory.max": "900\n", "a.slice/b.service/memory.max": "1000\n"}, 900},
		"throttled":    {"0::/a\n", mountV2, map[string]string{"a/memory.max": "1000\n", "a/memory.high": "800\n"}, 800},
		"another's":    {"0::/a\n", mountV2, map[string]string{"b/memory.max": "1000\n"}, 0},
		"a name's end": {"0::/ab\n", "30 23 0:26 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", map[string]string{"memory.max": "7\n", "b/memory.max": "5\n"}, 7},
		"the host's path in a container": {"0::/docker/4f\n", "30 23 0:26 /docker/4f /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
			map[string]string{"memory.max": "5000\n"}, 5000},
		"a group outside of the namespace": {"0::/../../other\n", mountV2, map[string]string{"memory.max": "5000\n"}, 5000},

		"version 1":          {"4:memory:/x\n0::/\n", mountV1, map[string]string{"memory/x/memory.limit_in_bytes": "2000\n"}, 2000},
		"version 1's parent": {"4:memory:/x/y\n", mountV1, map[string]string{"memory/x/memory.limit_in_bytes": "2000\n", "memory/x/y/memory.limit_in_bytes": v1NoLimit}, 2000},
		"version 1 without":  {"4:memory:/x\n", mountV1, map[string]string{"memory/x/memory.limit_in_bytes": v1NoLimit}, 0},
		"version 1 in a container": {"4:memory:/docker/4f\n1:name=systemd:/\n",
			"35 31 0:32 /docker/4f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			map[string]string{"memory/memory.limit_in_bytes": "3000\n"}, 3000},
		"another controller": {"3:cpu,cpuacct:/x\n", mountV1, map[string]string{"cpu/x/memory.limit_in_bytes": "3000\n"}, 0},
		"both versions": {"4:memory:/x\n0::/\n", mountV1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			map[string]string{"memory/x/memory.limit_in_bytes": "2000\n"}, 2000},

		"no groups":     {"", "", nil, 0},
		"nothing known": {"rubbish\n1:2\n", "x\n - \n1 2 3 4 5 - cgroup2\n", nil, 0},
		"rubbish":       {"0::/\n", mountV2, map[string]string{"memory.max": "-1\n", "memory.high": "lots\n"}, 0},
	} {
		root := fstest.MapFS{"proc/self/cgroup": {Data: []byte(c.group)}, "proc/self/mountinfo": {Data: []byte(c.mounts)}}
		for file, text := range c.files {
			root["sys/fs/cgroup/"+file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryLimit(root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if got := memoryLimit(fstest.MapFS{}); got != 0 {
		t.Errorf("without control groups: %d", got)
	}
}
