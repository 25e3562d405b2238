package report

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// A Machine has the facts of the machine that a result is of.
type Machine struct {
	Date      time.Time
	CPU       string // the processor's model; empty: not known
	Cores     int
	GoVersion string
	Kernel    string
	Command   string // that measured
}

// ThisMachine reads the facts from the kernel.
func ThisMachine(command string) Machine {
	m := Machine{Date: time.Now().UTC(), Cores: runtime.NumCPU(), GoVersion: runtime.Version(), Command: command}
	info, _ := os.ReadFile("/proc/cpuinfo") // without it the model is not known
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	return m
}

// String is the facts as a part of a sentence.
func (m Machine) String() string {
	return fmt.Sprintf("%s with `%s`: %d cores (%s), Linux %s, %s", m.Date.Format("2 January 2006"), m.Command, m.Cores,
		m.CPU,
		m.Kernel, m.GoVersion)
}
