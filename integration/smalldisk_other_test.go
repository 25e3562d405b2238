//go:build !linux

package integration

import "testing"

func smallDisk(t *testing.T, _ string) { t.Skip("only Linux has small file systems in memory") }

func fullDisk(*testing.T, string) {}
