# Boot code of an ISO's MBR: load isolinux.bin from where it lies, and start it.
#
# A BIOS loads the first sector of the disk at 0:7C00 and jumps there, with the drive in DL and, if
# it has Plug and Play, the address of its structure in ES:DI. This code moves to 0:0600, reads the
# first 2048 bytes of isolinux.bin to 0:7C00, and jumps to its entry for disks, which loads the rest.
#
# isolinux.bin has had this entry since version 3.72: the signature 7078C0FB at byte 64, and code
# after it. It expects on the stack, from the top of memory down:
#
#   0:7BF8  8 bytes  the first sector of the partition that the ISO lies in: 0, it is the disk
#   0:7BF6  2 bytes  ES  } as the BIOS gave them
#   0:7BF4  2 bytes  DI  }
#   0:7BF2  2 bytes  DX: DL is the drive
#   0:7BF0  2 bytes  heads of the disk        } for reading by cylinder, head and sector
#   0:7BEE  2 bytes  sectors of a track       }
#   0:7BEC  2 bytes  1 if the BIOS reads by sector number (EDD), else 0; SP points here
#
# (Source: core/isolinux.asm of Syslinux 3.72 to 6.04, _start_hybrid. Ralf Brown's Interrupt List:
# INT 13h, AH=02h, 08h, 41h, 42h.)
#
# hybrid_mbr.py holds the result; a test compares.
#
# Build:  as --32 -o hybrid_mbr.o hybrid_mbr.S
#         ld -m elf_i386 -Ttext 0x600 --oformat binary -o hybrid_mbr.bin hybrid_mbr.o

        .code16
        .globl  _start

        .set    STACK, 0x7c00
        .set    DRIVE, STACK - 14
        .set    HEADS, STACK - 16
        .set    TRACK, STACK - 18
        .set    EDD, STACK - 20
        .set    LOADER, 0x7c00          # where isolinux.bin goes
        .set    SIGNATURE, LOADER + 64
        .set    ENTRY, LOADER + 68
        .set    TRIES, 4                # drives that spin up fail at first

_start:
        cli
        xorl    %eax, %eax
        movw    %ax, %ss
        movw    $STACK, %sp
        movw    %ax, %ds
        pushl   %eax                    # the first sector of the ISO, in 64 bits
        pushl   %eax
        pushw   %es
        pushw   %di
        pushw   %dx
        movw    %ax, %es
        cld
        movw    $0x7c00, %si
        movw    $_start, %di
        movw    $256, %cx
        rep movsw
        ljmp    $0, $moved

moved:
        sti
        movb    $0x08, %ah              # the geometry: DH last head, CL bits 0 to 5 sectors
        int     $0x13
        jnc     1f
        movw    $0xff, %cx              # unknown: as large disks have it
        movb    $0xfe, %dh
1:      movzbw  %dh, %ax
        incw    %ax
        pushw   %ax
        andw    $0x3f, %cx
        pushw   %cx
        movb    $0x41, %ah              # does the BIOS read by sector number?
        movw    $0x55aa, %bx
        movb    DRIVE, %dl
        int     $0x13
        jc      1f
        andw    $1, %cx
        cmpw    $0xaa55, %bx
        je      2f
1:      xorw    %cx, %cx
2:      pushw   %cx

        xorw    %ax, %ax                # functions 08h and 41h may have changed ES
        movw    %ax, %es
        movl    lba, %eax
        movw    $LOADER, %bx
        movw    $4, %cx
1:      call    read
        jc      unreadable
        incl    %eax
        addb    $2, %bh
        loop    1b
        cmpl    $0x7078c0fb, SIGNATURE
        jne     no_loader
        cli
        movw    $EDD, %sp
        ljmp    $0, $ENTRY

# Read sector EAX to ES:BX; the carry flag tells that this failed. All registers are kept but BP.
read:
        movw    $TRIES, %bp
again:
        pushal
        xorl    %edx, %edx
        pushl   %edx                    # the packet of function 42h: sector, buffer, count, size
        pushl   %eax
        pushw   %es
        pushw   %bx
        pushw   $1
        pushw   $16
        movw    %sp, %si
        cmpb    $0, EDD
        je      1f
        movb    $0x42, %ah
        jmp     2f
1:      movzwl  TRACK, %ecx             # CH and CL bits 6 to 7 cylinder, bits 0 to 5 sector, DH head
        divl    %ecx
        incw    %dx
        movw    %dx, %cx
        xorl    %edx, %edx
        movzwl  HEADS, %edi
        divl    %edi
        movb    %dl, %dh
        movb    %al, %ch
        shlb    $6, %ah
        orb     %ah, %cl
        movw    $0x0201, %ax
2:      movb    DRIVE, %dl
        int     $0x13
        leaw    16(%si), %sp
        popal
        jnc     3f
        pushal
        xorw    %ax, %ax                # reset the drive
        movb    DRIVE, %dl
        int     $0x13
        popal
        decw    %bp
        jnz     again
        stc
3:      ret

unreadable:
        movw    $unreadable_text, %si
        jmp     fail
no_loader:
        movw    $no_loader_text, %si
fail:
        call    print
        movw    $key_text, %si
        call    print
        xorw    %ax, %ax                # wait for a key, so that the message can be read
        int     $0x16
        int     $0x18                   # let the BIOS try the next device
1:      hlt
        jmp     1b

1:      movb    $0x0e, %ah
        movw    $7, %bx
        int     $0x10
print:                                  # print the text at SI
        lodsb
        testb   %al, %al
        jnz     1b
        ret

unreadable_text:
        .asciz  "The boot disk cannot be read.\r\n"
no_loader_text:
        .asciz  "isolinux.bin is missing or damaged on the boot disk.\r\n"
key_text:
        .asciz  "Press a key to try the next disk.\r\n"

        .org    432
lba:    .long   0                       # the first sector of isolinux.bin, of 512 bytes
