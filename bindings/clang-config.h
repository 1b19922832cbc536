/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's configuration, as clang has to see it where gcc built the kernel.
 * Put before every other header when clang compiles the shims or bindgen reads
 * the bindings.
 */
#include <linux/kconfig.h>

/*
 * Per-CPU variables by gcc's named address spaces: in an inline assembly's
 * memory operand clang drops the segment, and the access uses a wrong address. Kconfig
 * never sets these for clang, whose code names the segment in the assembly.
 */
#undef CONFIG_CC_HAS_NAMED_AS
#undef CONFIG_CC_HAS_NAMED_AS_FIXED_SANITIZERS
#undef CONFIG_USE_X86_SEG_SUPPORT
