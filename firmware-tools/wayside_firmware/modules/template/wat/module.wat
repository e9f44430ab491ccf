;; Gives each reading multiplied by two, under the same name. Build: wayside-fw module build .
(module
  (memory (export "memory") 2)
  ;; Room begins behind what the module keeps for itself, and all of it is free again after wayside_reset.
  (global $top (mut i32) (i32.const 1024))

  (func (export "wayside_abi") (result i32) (i32.const 1))

  (func (export "wayside_alloc") (param $bytes i32) (result i32)
    (local $at i32) (local $end i32) (local $missing i32)
    (local.set $at (global.get $top))
    (local.set $end (i32.and (i32.add (i32.add (local.get $at) (local.get $bytes)) (i32.const 7)) (i32.const -8)))
    (local.set $missing (i32.sub (local.get $end) (i32.shl (memory.size) (i32.const 16))))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq (i32.const -1)
              (memory.grow (i32.shr_u (i32.add (local.get $missing) (i32.const 65535)) (i32.const 16))))
          (then (return (i32.const 0))))))
    (global.set $top (local.get $end))
    (local.get $at))

  (func (export "wayside_reset") (global.set $top (i32.const 1024)))

  (func (export "wayside_process") (param $block i32) (param $bytes i32) (result i64)
    (local $reading i32) (local $left i32)
    ;; readings begin behind the header of 16 bytes and 16 bytes for each series
    (local.set $reading
      (i32.add (local.get $block)
        (i32.add (i32.const 16) (i32.shl (i32.load offset=4 (local.get $block)) (i32.const 4)))))
    (local.set $left (i32.load offset=8 (local.get $block)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        ;; a reading: time i64, value f64, series u32, quality u32
        (f64.store offset=8 (local.get $reading)
          (f64.mul (f64.load offset=8 (local.get $reading)) (f64.const 2)))
        (local.set $reading (i32.add (local.get $reading) (i32.const 24)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $block)) (i64.const 32)) (i64.extend_i32_u (local.get $bytes)))))
