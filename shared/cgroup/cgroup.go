// Package cgroup reads the memory limit that a container or a service runs under. Go's runtime does
// not know it: a program that grows beyond it is killed.
package cgroup

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// MemoryLimit returns the limit in bytes on the memory of this process by its control groups
// (version 2 or 1), and of all above them that can be seen. 0: there is none, or no control groups,
// as on other systems than Linux.
func MemoryLimit() int64 { return memoryLimit(os.DirFS("/")) }

// noLimit is below what version 1 says for no limit: the largest int64, rounded down to a page.
const noLimit = 1 << 62

func memoryLimit(root fs.FS) int64 {
	least := int64(noLimit)
	for _, h := range hierarchies(root) {
		for dir := h.dir; ; dir = path.Dir(dir) {
			for _, file := range h.files {
				if n := readLimit(root, path.Join(dir, file)); n > 0 {
					least = min(least, n)
				}
			}
			if dir == h.mount || dir == "." {
				break
			}
		}
	}
	if least == noLimit {
		return 0
	}
	return least
}

// A hierarchy is where a version has the group of this process. Paths begin without a slash.
type hierarchy struct {
	mount, dir string   // dir is mount or below it
	files      []string // with limits in bytes, in dir and all directories above it
}

// hierarchies reads cgroups(7)'s /proc/self/cgroup, and where they are mounted.
func hierarchies(root fs.FS) (found []hierarchy) {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // without one there are no groups
	mounts, _ := fs.ReadFile(root, "proc/self/mountinfo")
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		if len(fields) < 3 {
			continue
		}
		kind, controller, files := "cgroup2", "", []string{"memory.max", "memory.high"}
		if fields[1] != "" {
			kind, controller, files = "cgroup", "memory", []string{"memory.limit_in_bytes"}
			if !slices.Contains(strings.Split(fields[1], ","), controller) {
				continue
			}
		}
		for mount := range strings.Lines(string(mounts)) {
			if mountRoot, at, ok := parseMount(mount, kind, controller); ok {
				found = append(found, hierarchy{at, path.Join(at, below(fields[2], mountRoot)), files})
			}
		}
	}
	return found
}

// parseMount reads a line of proc(5)'s mountinfo: what of a hierarchy is mounted, and where.
func parseMount(line, kind, controller string) (root, at string, ok bool) {
	before, after, _ := strings.Cut(line, " - ") // optional fields end before it
	fields, fsFields := strings.Fields(before), strings.Fields(after)
	if len(fields) < 5 || len(fsFields) < 3 || fsFields[0] != kind {
		return "", "", false
	}
	if controller != "" && !slices.Contains(strings.Split(fsFields[2], ","), controller) {
		return "", "", false
	}
	return fields[3], strings.TrimPrefix(path.Clean(fields[4]), "/"), true
}

// below is the path of a group within the mount. A group outside of what is mounted, as a container
// has it that sees only itself, is the mount.
func below(group, mountRoot string) string {
	rest, ok := strings.CutPrefix(path.Clean(group), strings.TrimSuffix(mountRoot, "/"))
	if !ok || strings.Contains(group, "..") || rest != "" && rest[0] != '/' {
		return ""
	}
	return rest
}

// readLimit returns 0 for no limit.
func readLimit(root fs.FS, file string) int64 {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return 0 // the highest group has no such file
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n >= noLimit {
		return 0 // "max"
	}
	return n
}
