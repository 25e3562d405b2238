//go:build unix

package lambda

import (
	"os/exec"
	"syscall"
)

// ownGroup starts the process in a group of its own, so that a Ctrl-C at the terminal does not end
// it: this process lets it finish.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// terminate asks the process to end. Its only error would be that the process has ended already.
func terminate(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
}

// killGroup ends the process and its children. Process.Kill comes first: it fails if the process has
// been waited for, so that no other process that got the same id since is killed.
func killGroup(cmd *exec.Cmd) {
	if cmd.Process.Kill() == nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
