//go:build unix

package lambda

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps a Ctrl-C at the terminal from the function's process: its parent lets it finish.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// terminate asks the process to end. An error says that it has ended already.
func terminate(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
}

// killGroup ends the process and its children. Process.Kill comes first: it knows whether the
// process has been waited for, and so never hits another one that was given the same id since.
func killGroup(cmd *exec.Cmd) {
	if cmd.Process.Kill() == nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
