package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/spillwayhq/spillway/shared/event"
)

// errTooDeep is also the error for a value that holds itself.
var errTooDeep = fmt.Errorf("must be nested at most %d levels deep, is deeper or holds itself", event.MaxDepth)

// value writes a value in a Properties, Traits or Integrations map. It knows the types that most
// events consist of. All others go to encoding/json, because they may have a MarshalJSON of their
// own.
func (e *encoder) value(v any, depth int) error {
	switch v := v.(type) {
	case nil:
		e.buf = append(e.buf, "null"...)
	case string:
		e.quote(v)
	case bool:
		e.buf = strconv.AppendBool(e.buf, v)
	case int:
		e.buf = strconv.AppendInt(e.buf, int64(v), 10)
	case int64:
		e.buf = strconv.AppendInt(e.buf, v, 10)
	case int32:
		e.buf = strconv.AppendInt(e.buf, int64(v), 10)
	case uint64:
		e.buf = strconv.AppendUint(e.buf, v, 10)
	case uint:
		e.buf = strconv.AppendUint(e.buf, uint64(v), 10)
	case uint32:
		e.buf = strconv.AppendUint(e.buf, uint64(v), 10)
	case float64:
		return e.float(v, 64)
	case float32:
		return e.float(float64(v), 32)
	case time.Time:
		return e.time(v)
	case time.Duration:
		e.buf = strconv.AppendInt(e.buf, int64(v), 10)
	case map[string]any:
		return e.object(v, depth)
	case analytics.Properties:
		return e.object(v, depth)
	case analytics.Traits:
		return e.object(v, depth)
	case map[string]string:
		return mapping(e, v, depth, (*encoder).element)
	case []any:
		return array(e, v, depth, (*encoder).value)
	case []string:
		return array(e, v, depth, (*encoder).element)
	case []int:
		return array(e, v, depth,
			func(e *encoder, n, _ int) error { e.buf = strconv.AppendInt(e.buf, int64(n), 10); return nil })
	case []float64:
		return array(e, v, depth, func(e *encoder, f float64, _ int) error { return e.float(f, 64) })
	case []map[string]any:
		return array(e, v, depth, (*encoder).object)
	case []analytics.Product:
		return array(e, v, depth, (*encoder).product)
	default:
		return e.other(v)
	}
	return nil
}

// object writes a Properties, Traits or Integrations map, or a map in one.
func (e *encoder) object(m map[string]any, depth int) error {
	return mapping(e, m, depth, (*encoder).value)
}

// element writes a string in a map or a list.
func (e *encoder) element(s string, _ int) error { e.quote(s); return nil }

// mapping writes a map. It checks the length after each value, so that it stops soon after the
// limit.
func mapping[T any](e *encoder, m map[string]T, depth int, write func(*encoder, T, int) error) error {
	if m == nil {
		e.buf = append(e.buf, "null"...)
		return nil
	}
	if depth > event.MaxDepth {
		return errTooDeep
	}
	e.buf = append(e.buf, '{')
	start := len(e.buf)
	for key, v := range m {
		e.comma(start)
		e.quote(key)
		e.buf = append(e.buf, ':')
		if err := write(e, v, depth+1); err != nil {
			return err
		}
		if len(e.buf) > event.MaxEventBytes {
			return errTooLong
		}
	}
	e.buf = append(e.buf, '}')
	return nil
}

// array writes a list in the same way.
func array[T any](e *encoder, list []T, depth int, write func(*encoder, T, int) error) error {
	if list == nil {
		e.buf = append(e.buf, "null"...)
		return nil
	}
	if depth > event.MaxDepth {
		return errTooDeep
	}
	e.buf = append(e.buf, '[')
	for i, v := range list {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		if err := write(e, v, depth+1); err != nil {
			return err
		}
		if len(e.buf) > event.MaxEventBytes {
			return errTooLong
		}
	}
	e.buf = append(e.buf, ']')
	return nil
}

// product writes "sky" where "sku" is meant, because analytics-go does.
func (e *encoder) product(p analytics.Product, _ int) error {
	e.buf = append(e.buf, '{')
	start := len(e.buf)
	e.member(start, `"id":`, p.ID)
	e.member(start, `"sky":`, p.SKU)
	e.member(start, `"name":`, p.Name)
	e.comma(start)
	e.buf = append(e.buf, `"price":`...)
	if err := e.float(p.Price, 64); err != nil {
		return err
	}
	e.buf = append(e.buf, '}')
	return nil
}

// comma separates a member from the one before it, in an object whose first member begins at
// start.
func (e *encoder) comma(start int) {
	if len(e.buf) > start {
		e.buf = append(e.buf, ',')
	}
}

// member writes a key and a string, unless the string is empty.
func (e *encoder) member(start int, key, value string) {
	if value != "" {
		e.comma(start)
		e.text(key, value)
	}
}

// float writes a number as encoding/json does, in ECMAScript's format.
func (e *encoder) float(f float64, bits int) error {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return &json.UnsupportedValueError{Value: reflect.ValueOf(f), Str: strconv.FormatFloat(f, 'g', -1, bits)}
	}
	abs := math.Abs(f)
	if abs != 0 && (bits == 64 && (abs < 1e-6 || abs >= 1e21) ||
		bits == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21)) {
		e.buf = strconv.AppendFloat(e.buf, f, 'e', -1, bits)
		if n := len(e.buf); e.buf[n-3] == '-' && e.buf[n-2] == '0' { // encoding/json writes e-9, not e-09
			e.buf[n-2] = e.buf[n-1]
			e.buf = e.buf[:n-1]
		}
		return nil
	}
	e.buf = strconv.AppendFloat(e.buf, f, 'f', -1, bits)
	return nil
}

var errBadIP = errors.New("IP must be an IPv4 or IPv6 address")
