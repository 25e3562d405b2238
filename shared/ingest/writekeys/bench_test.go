package writekeys

import (
	"fmt"
	"strings"
	"testing"
)

// manyKeys is a document with so many write keys, as an operator's program writes it.
func manyKeys(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"writeKeys":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n{\"name\":\"customer %d\",\"writeKey\":%q,\"quota\":%d,\"burst\":1000}", i, keyOf(i), 50+i%7)
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func keyOf(i int) string { return fmt.Sprintf("abcdefghijklmnopqrstuvwx%08d", i) }

func TestTenThousandWriteKeysAreRead(t *testing.T) {
	const n = 10_000
	data := manyKeys(n)
	if len(data) > 1<<20 {
		t.Errorf("they take %d bytes", len(data)) // docs/write-keys.md says 1 MB
	}
	d, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if k, ok := d.Keys.Lookup(keyOf(i)); !ok || k.Name != fmt.Sprint("customer ", i) {
			t.Fatalf("the key %d is %+v, %v", i, k, ok)
		}
	}
	if _, ok := d.Keys.Lookup(keyOf(n)); ok {
		t.Error("an unknown key is found")
	}
}

func BenchmarkTenThousandWriteKeys(b *testing.B) {
	data := manyKeys(10_000)
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := Parse(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("lookup", func(b *testing.B) {
		d, err := Parse(data)
		if err != nil {
			b.Fatal(err)
		}
		key := keyOf(5000)
		for b.Loop() {
			if _, ok := d.Keys.Lookup(key); !ok {
				b.Fatal("not found")
			}
		}
	})
}
