package ingest

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/spillwayhq/spillway/shared/event"
)

// A Key is what is known of a write key.
type Key struct {
	Name     string  // for people; quotas are kept by it. It may stand in logs, which the key itself never does
	Disabled bool    // its events are refused
	Quota    float64 // events a second; 0: no bound
	// events that may come at once before the quota counts; 0: ten seconds of the quota. Not
	// without a quota
	Burst float64
}

// KeySet knows write keys. It may be called by several goroutines at the same time. Look-up must
// not take longer for a key that is nearly right.
type KeySet interface {
	Lookup(writeKey string) (Key, bool)
}

// Keys is a KeySet that can be replaced while it is in use. The zero value is not usable: use
// [NewKeys].
type Keys struct {
	salt [32]byte
	set  atomic.Pointer[map[[sha256.Size]byte]Key]
}

// NewKeys makes a set of keys by write key.
func NewKeys(keys map[string]Key) (*Keys, error) {
	k := new(Keys)
	rand.Read(k.salt[:]) // never fails (crypto/rand)
	return k, k.Replace(keys)
}

// Replace puts other keys in the place of all. On an error, which names every key that is wrong by
// its name, the set stays as it is.
func (k *Keys) Replace(keys map[string]Key) error {
	set := make(map[[sha256.Size]byte]Key, len(keys))
	names := make(map[string]bool, len(keys))
	var errs []error
	for writeKey, key := range keys {
		switch {
		case key.Name == "":
			errs = append(errs, errors.New("a write key has no name: give each its own"))
		case names[key.Name]:
			errs = append(errs, fmt.Errorf("two write keys are named %q: give each its own name", key.Name))
		case !event.ValidWriteKey(writeKey):
			errs = append(errs, fmt.Errorf("the write key named %q can't be one: write 1 to %d printable ASCII characters "+
				"without spaces, quotes and colons", key.Name, event.MaxWriteKeyBytes))
		case !(key.Quota >= 0) || !(key.Burst >= 0) || math.IsInf(key.Quota, 0) || math.IsInf(key.Burst, 0):
			errs = append(errs, fmt.Errorf("the quota of the write key named %q must be a number of events a second, 0 for none",
				key.Name))
		case key.Burst > 0 && key.Quota == 0:
			errs = append(errs, fmt.Errorf("the write key named %q has a burst and no quota, so nothing would be bounded: "+
				"write a quota, or leave the burst out", key.Name))
		}
		names[key.Name] = true
		set[k.digest(writeKey)] = key
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("use a set of %d write keys: %w", len(keys), err)
	}
	k.set.Store(&set)
	return nil
}

// Lookup implements [KeySet]. What the map compares is a salted digest, so how long it takes tells
// nothing of a key.
func (k *Keys) Lookup(writeKey string) (Key, bool) {
	set := k.set.Load()
	if set == nil {
		return Key{}, false
	}
	key, ok := (*set)[k.digest(writeKey)]
	return key, ok
}

func (k *Keys) digest(writeKey string) [sha256.Size]byte {
	var buf [len(k.salt) + event.MaxWriteKeyBytes]byte
	n := copy(buf[:], k.salt[:])
	n += copy(buf[n:], writeKey)
	return sha256.Sum256(buf[:n])
}

// Besides is a KeySet that knows one more write key than set. It is asked first, so what the set
// says of that key does not count.
func WithKey(set KeySet, writeKey string, key Key) (KeySet, error) {
	one, err := NewKeys(map[string]Key{writeKey: key})
	if err != nil {
		return nil, err
	}
	return withKey{one, set}, nil
}

type withKey struct {
	first *Keys
	rest  KeySet
}

// Lookup implements [KeySet].
func (b withKey) Lookup(writeKey string) (Key, bool) {
	if key, ok := b.first.Lookup(writeKey); ok {
		return key, true
	}
	return b.rest.Lookup(writeKey)
}
