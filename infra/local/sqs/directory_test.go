package sqs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/spillwayhq/spillway/shared/diskdir"
)

func TestErrorsSayWhyADirectoryCantBeUsed(t *testing.T) {
	tried := func(err error) error {
		return fmt.Errorf("lock: %w", &os.PathError{Op: "open", Path: "/d/LOCK", Err: err})
	}
	tests := []struct {
		name string
		got  error
		is   error
		want string
	}{
		{"another process", errOpen("/d", fmt.Errorf("lock: %w", diskdir.ErrLocked)), nil,
			"the data directory /d is in use by another process"},
		{"not ours", errOpen("/d", tried(syscall.EACCES)), fs.ErrPermission,
			"the data directory /d must be writable: permission denied"},
		{"read-only", errOpen("/d", tried(syscall.EROFS)), syscall.EROFS,
			"the data directory /d must be writable: read-only file system"},
		{"a broken disk", errOpen("/d", tried(syscall.EIO)), syscall.EIO,
			"open the queues' store in /d: lock: open /d/LOCK: input/output error"},
		{"not to be made", errDirectory("make the data directory", "/d", tried(syscall.EPERM)), fs.ErrPermission,
			"the data directory /d must be writable: operation not permitted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.got.Error() != test.want {
				t.Errorf("error %q, want %q", test.got, test.want)
			}
			if test.is != nil && !errors.Is(test.got, test.is) {
				t.Errorf("%v does not wrap %v", test.got, test.is)
			}
		})
	}
}
