# Boot code of a disk image: load a Linux kernel and initrds from where they lie, and start it.
#
# A BIOS loads the first sector of the disk at 0:7C00 and jumps there, with the drive in DL. That
# code reads the loader, which the sectors from 34 on hold, to 0:8000. The loader reads files through
# a buffer, and the BIOS moves them to where the kernel expects them:
#
#   01:0000  the kernel's real-mode code; the command line is at 01:E000
#   10:0000  the rest of the kernel
#   at the end of memory, as far as the kernel allows it: the initrds, one after another
#
# disk_boot.py writes the tables that say what is read and where to.
#
# (Source: Documentation/arch/x86/boot.rst of Linux. Ralf Brown's Interrupt List: INT 13h, AH=41h,
# 42h; INT 15h, AH=87h, AX=E820h.)
#
# disk_boot.py holds the result in base 85, without the zeros between the two parts; a test compares.
#
# Build:  as --32 -o disk_boot.o disk_boot.S
#         ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o disk_boot.bin disk_boot.o

        .code16
        .globl  _start

        .set    LOADER, 0x8000
        .set    TABLES, 0x8400
        .set    COMMAND_LINE, 0x8c00
        .set    LOADER_SECTORS, 10
        .set    FIRST_SECTOR, 34        # after a GPT
        .set    BUFFER, 0x20000
        .set    BUFFER_SECTORS, 64
        .set    KERNEL, 0x1000          # the segment of the real-mode code
        .set    STACK_END, 0xe000       # in this segment: the stack below, the command line above
        .set    TRIES, 4                # drives that spin up fail at first
        .set    SMAP, 0x534d4150

_start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ss
        movw    $0x7c00, %sp
        movw    %ax, %ds
        movw    %ax, %es
        sti
        cld
        ljmp    $0, $1f
1:      pushw   %dx
        movb    $0x41, %ah              # does the BIOS read by sector number?
        movw    $0x55aa, %bx
        int     $0x13
        jc      2f
        cmpw    $0xaa55, %bx
        jne     2f
        testb   $1, %cl
        jz      2f
        popw    %dx
        pushw   %dx
        movw    $loader_packet, %si
        movb    $0x42, %ah
        int     $0x13
        popw    %dx
        jnc     LOADER
2:      movw    $disk_text, %si
fail:
        lodsb
        testb   %al, %al
        jz      1f
        movb    $0x0e, %ah
        movw    $7, %bx
        int     $0x10
        jmp     fail
1:      int     $0x18                   # let the BIOS try the next disk
2:      hlt
        jmp     2b

loader_packet:
        .word   16, LOADER_SECTORS, LOADER, 0
        .long   FIRST_SECTOR, 0
disk_text:
        .asciz  "The boot disk cannot be read.\r\n"

        .org    LOADER - 0x7c00
loader:
        movb    %dl, drive
        xorl    %ebx, %ebx

# Find the end of the memory that begins at or below 1 MiB and goes on above.
1:      movl    $0xe820, %eax
        movl    $SMAP, %edx
        movl    $20, %ecx
        movw    $range, %di
        int     $0x15
        jc      3f
        cmpl    $SMAP, %eax
        jne     3f
        cmpl    $1, range + 16          # usable
        jne     2f
        cmpl    $0, range + 4
        jne     2f
        movl    range, %eax
        cmpl    $0x100000, %eax
        ja      2f
        movl    range + 12, %edx
        addl    range + 8, %eax
        adcl    $0, %edx
        jz      4f
        movl    $0xfffff000, %eax       # it goes on above 4 GiB
4:      cmpl    $0x100000, %eax
        jbe     2f
        movl    %eax, memory_end
2:      testl   %ebx, %ebx
        jnz     1b

# The initrds go to the end of it.
3:      movl    memory_end, %eax
        cmpl    initrds_limit, %eax
        jbe     1f
        movl    initrds_limit, %eax
1:      subl    initrds_room, %eax
        jc      no_memory
        andw    $0xf000, %ax
        cmpl    kernel_end, %eax
        jb      no_memory
        movl    %eax, initrds

# Read the files, piece by piece.
        movw    $pieces, %bp
next_piece:
        movl    4(%bp), %ecx            # sectors
        jecxz   start
        movl    8(%bp), %edi            # where to
        cmpl    $0, 12(%bp)
        je      1f
        addl    initrds, %edi
1:      movl    (%bp), %edx             # the first sector
next_chunk:
        movl    $BUFFER_SECTORS, %eax
        cmpl    %ecx, %eax
        jbe     1f
        movl    %ecx, %eax
1:      movw    %ax, packet + 2
        movl    %edx, packet + 8
        call    read
        call    move
        addl    %eax, %edx
        subl    %eax, %ecx
        shll    $9, %eax
        addl    %eax, %edi
        testl   %ecx, %ecx
        jnz     next_chunk
        addw    $16, %bp
        jmp     next_piece

# Fill in the kernel's header, and start it.
start:
        movw    $KERNEL, %ax
        movw    %ax, %es
        movw    video_mode, %ax
        movw    %ax, %es:0x1fa
        movb    $0xff, %es:0x210        # a boot loader without a number
        orb     $0x80, %es:0x211        # the next field is valid
        movw    $STACK_END - 0x200, %es:0x224
        movl    $KERNEL * 16 + STACK_END, %es:0x228
        movl    initrds_size, %eax
        movl    %eax, %es:0x21c
        testl   %eax, %eax
        jz      1f
        movl    initrds, %eax
1:      movl    %eax, %es:0x218
        movw    $COMMAND_LINE, %si
        movw    $STACK_END, %di
        movw    $2048, %cx
        rep movsb
        cli
        movw    %es, %ax
        movw    %ax, %ds
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        movw    $STACK_END, %sp
        ljmp    $KERNEL + 0x20, $0

# Read what the packet says to the buffer. All registers are kept.
read:
        pushal
        movw    $TRIES, %di
1:      movw    $packet, %si
        movb    drive, %dl
        movb    $0x42, %ah
        int     $0x13
        jnc     2f
        movw    %sp, %bx
        movw    28(%bx), %ax            # EAX: a failed read changes the count
        movw    %ax, packet + 2
        xorw    %ax, %ax                # reset the drive
        movb    drive, %dl
        int     $0x13
        decw    %di
        jnz     1b
        movw    $disk_text, %si
        jmp     fail
2:      popal
        ret

# Move EAX sectors from the buffer to EDI. All registers are kept.
move:
        pushal
        movl    %edi, %edx
        movw    %dx, target
        shrl    $16, %edx
        movb    %dl, target + 2
        movb    %dh, target + 5
        movw    %ax, %cx
        shlw    $8, %cx                 # words
        movw    $descriptors, %si
        movb    $0x87, %ah
        int     $0x15
        popal
        jc      no_memory
        ret

no_memory:
        movw    $memory_text, %si
        jmp     fail

memory_text:
        .asciz  "There is not enough memory for the system.\r\n"

        .balign 8
packet: .word   16, 0, 0, BUFFER / 16
        .long   0, 0
descriptors:
        .long   0, 0, 0, 0
        .word   0xffff, BUFFER & 0xffff
        .byte   BUFFER >> 16, 0x93, 0, 0
        .word   0xffff
target: .word   0
        .byte   0, 0x93, 0, 0
        .long   0, 0, 0, 0
range:  .long   0, 0, 0, 0, 0
memory_end:
        .long   0
initrds:
        .long   0
drive:  .byte   0

        .org    TABLES - 0x7c00
kernel_end:                             # no initrd may be below
        .long   0
initrds_limit:                          # nor end above
        .long   0
initrds_room:                           # what they take, in whole sectors
        .long   0
initrds_size:
        .long   0
video_mode:
        .word   0, 0
        .long   0, 0, 0
pieces:                                 # first sector, sectors, where to, 1 for an initrd; then 0
