package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/infra/local"
)

// upArchive is how much of the archive `up` keeps.
type upArchive struct {
	days  int
	bytes string
	size  int64
}

const (
	archiveDays = 30
	// An event of 1 KB takes about 200 bytes, so this is about five million of them.
	archiveBytes = "1GiB"
	// maxArchiveDays is a century: further back no time is expressed without an overflow.
	maxArchiveDays = 36_500
	minArchive     = 1 << 20
)

func (a *upArchive) register(c *cobra.Command) {
	c.Flags().IntVar(&a.days, "archive-days", archiveDays,
		"for how many `days` the archive keeps what was delivered, for replay and why; 0: nothing is archived")
	c.Flags().StringVar(&a.bytes, "archive-bytes", archiveBytes,
		"how large the archive may become, as a `size` such as 500MB or 2GiB: the oldest events are removed first; "+
			"0: nothing is archived")
}

func (a *upArchive) check() error {
	if a.days < 0 || a.days > maxArchiveDays {
		return fmt.Errorf("--archive-days must be between 0 and %d, is %d", maxArchiveDays, a.days)
	}
	size, err := humanize.ParseBytes(a.bytes)
	if err != nil || size != 0 && size < minArchive || size > 1<<62 {
		return fmt.Errorf("--archive-bytes must be 0 or a size of at least %s, such as 500MB or 2GiB, is %q",
			humanize.IBytes(minArchive), a.bytes)
	}
	a.size = int64(size)
	return nil
}

// bounds are those of the archive; nil: there is none.
func (a *upArchive) bounds() *local.ArchiveBounds {
	if a.days == 0 || a.size == 0 {
		return nil
	}
	return &local.ArchiveBounds{Age: time.Duration(a.days) * 24 * time.Hour, Bytes: a.size}
}
