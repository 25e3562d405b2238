package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
)

func TestTheBoundsOfTheArchiveAreDaysAndASize(t *testing.T) {
	for _, c := range []struct {
		days  int
		bytes string
		want  *local.ArchiveBounds
	}{
		{30, "1GiB", &local.ArchiveBounds{Age: 30 * 24 * time.Hour, Bytes: 1 << 30}},
		{1, "500MB", &local.ArchiveBounds{Age: 24 * time.Hour, Bytes: 500e6}},
		{maxArchiveDays, "1 MiB", &local.ArchiveBounds{Age: maxArchiveDays * 24 * time.Hour, Bytes: 1 << 20}},
		{0, "1GiB", nil}, {30, "0", nil},
	} {
		a := upArchive{days: c.days, bytes: c.bytes}
		if err := a.check(); err != nil {
			t.Errorf("%d days, %s: %v", c.days, c.bytes, err)
		}
		if got := a.bounds(); (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%d days, %s: %+v, want %+v", c.days, c.bytes, got, c.want)
		}
	}
	for _, c := range []struct {
		days        int
		bytes, want string
	}{{-1, "1GiB", "--archive-days"}, {maxArchiveDays + 1, "1GiB", "--archive-days"}, {1, "much", "--archive-bytes"},
		{1, "1KB", "--archive-bytes"}, {1, "-5", "--archive-bytes"}, {1, "9000PB", "--archive-bytes"}, {1, "", "--archive-bytes"}} {
		a := upArchive{days: c.days, bytes: c.bytes}
		if err := a.check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d days, %q: %v, want an error about %s", c.days, c.bytes, err, c.want)
		}
	}
}
