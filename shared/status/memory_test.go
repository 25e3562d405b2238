package status_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/spillwayhq/spillway/shared/status"
)

// memory is a Store, and fails on command.
type memory struct {
	mu     sync.Mutex
	files  map[string][]byte
	writes map[string]int // of each file, which is its version
	puts   []string
	fail   func(do, name string) error // called before each operation, without the lock
}

func newMemory() *memory { return &memory{files: map[string][]byte{}, writes: map[string]int{}} }

func (m *memory) before(do, name string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(do, name)
}

func (m *memory) Read(_ context.Context, name string) ([]byte, string, error) {
	if err := m.before("read", name); err != nil {
		return nil, "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[name]
	if !ok {
		return nil, "", status.ErrNotFound
	}
	return data, m.version(name), nil
}

func (m *memory) version(name string) string {
	if m.writes[name] == 0 {
		return ""
	}
	return fmt.Sprintf("v%d", m.writes[name])
}

func (m *memory) Write(_ context.Context, name string, data []byte, ifVersion string) error {
	if err := m.before("write", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.version(name) != ifVersion {
		return status.ErrChanged
	}
	m.set(name, data)
	return nil
}

func (m *memory) Put(_ context.Context, name, _ string, data []byte) error {
	if err := m.before("put", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts = append(m.puts, name)
	m.set(name, data)
	return nil
}

func (m *memory) set(name string, data []byte) {
	m.files[name] = append([]byte(nil), data...)
	m.writes[name]++
}

var _ status.Store = (*memory)(nil)
