package reload

import (
	"context"
	"fmt"
	"io"
	"os"
)

// maxFileBytes bounds what is read of a file: 10,000 write keys with quotas take about 1 MB.
const maxFileBytes = 4 << 20

// File returns a source that reads a regular file. It opens the file for each reading, so that the
// file may be replaced by renaming, as Kubernetes does.
func File(path string) Source {
	return Source{Name: path, Interval: fileInterval, Read: abandonable(func() (Content, error) {
		data, err := readFile(path)
		if err != nil {
			return Content{}, fmt.Errorf("read the file: %w", err)
		}
		return Content{Data: data}, nil
	})}
}

func readFile(path string) ([]byte, error) {
	// A pipe would block, and be empty the next time.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s must be a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return data, err
}

// abandonable wraps a reading that can't be cancelled, such as that of a file system that hangs, so
// that it returns when its context ends. No other reading begins before the abandoned one has
// ended, so that they do not pile up.
func abandonable(read func() (Content, error)) func(context.Context) (Content, error) {
	type result struct {
		content Content
		err     error
	}
	busy := make(chan struct{}, 1)
	return func(ctx context.Context) (Content, error) {
		select {
		case busy <- struct{}{}:
		case <-ctx.Done():
			return Content{}, fmt.Errorf("the previous reading still hangs: %w", ctx.Err())
		}
		done := make(chan result, 1)
		go func() {
			defer func() { <-busy }()
			content, err := read()
			done <- result{content, err}
		}()
		select {
		case r := <-done:
			return r.content, r.err
		case <-ctx.Done():
			return Content{}, fmt.Errorf("the reading hangs: %w", ctx.Err())
		}
	}
}
